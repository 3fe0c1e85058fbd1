"""Analysis: numbers from records. No file is written and nothing is drawn here.

Read in this order: `attributes`, `method_names` and `methods` (what is compared), `statistics` (rates, averages and
their intervals), `summaries` (one run), `paired_statistics`, `multiple_comparisons`, `seed_differences` and
`training_seeds` (several training seeds), `comparable` (which runs may share a table), `run_pairs`, `comparison`
(several methods), `verdict`, `smoothness`, `speed`, `actions/` (what looks wrong with actions).

Other rooms may import all of it. This room imports `records` only.
"""
