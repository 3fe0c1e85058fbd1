"""A run from its settings to its last record: what is checked first, what is kept, how it is stopped and resumed.

Read in this order: `suite_checks` and `problems` (all that is wrong, before anything slow), `evaluation`, `keeping`
(records are written as chains end), `idle_flags`, `stopping`.

Other rooms may import all of it.
"""
