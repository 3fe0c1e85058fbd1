"""Suites and the settings of runs: what is run, as the user wrote it.

Read in this order: `setting` (how a setting is declared), `settings` (the settings of one run, each declared once),
`suite` (several policies on the same chains), `declared_policy` (what a suite says about a policy's training),
`reading` (YAML files). The suites that ship are in `suites/`.

Other rooms may import every module. This room imports `envs` and `policies` only.
"""
