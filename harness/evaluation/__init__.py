"""A run, from its settings to its last record: how it is checked, kept, stopped and resumed.

Read in this order: `suite_checks` and `problems` (find every mistake before anything slow), `suite_evaluation` (all
runs of a suite), `evaluation` (one run), `chosen_chains`, `conventions` (do policy and world fit together),
`describing` (the content of `run.json`), `keeping` (writes each record as its chain ends), `idle_flags`, `stopping`.

Other rooms may import all of it.
"""
