"""Analysis: numbers from records. No file is written and nothing is drawn here.

Read in this order: `statistics` (rates, averages and their intervals), `paired_statistics`, `multiple_comparisons`,
`summaries` (one run), `comparable` (which runs may share a table), `run_pairs`, `training_seeds`, `comparison` (several
runs), `verdict`, `smoothness`, `speed`, `labels`, `action_watch` and `action_units` (what looks wrong with actions).

Other rooms may import all of it. This room imports `records` only.
"""
