"""The verbs that work on finished runs: merge, report, view, compare, export, plan. They need no world and no policy."""
