"""A run, from its settings to its last record: how it is checked, kept, stopped and resumed.

Read in this order: `suite_checks` and `problems` (finds every mistake before anything slow), `evaluation`, `keeping`
(writes each record as its chain ends), `idle_flags`, `stopping`.

Other rooms may import all of it.
"""
