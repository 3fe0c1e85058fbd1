"""The commands that work on finished runs: merge, report, view, compare, export and plan. They need no policy."""
