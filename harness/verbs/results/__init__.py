"""The verbs that work on finished runs, which need no policy and mostly no world.

They are merge, report, view, compare, export and plan.
"""
