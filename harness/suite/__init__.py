"""Suites and run settings: what is run, as the user wrote it.

Read in this order: `suite` (a suite, its YAML form and the settings of one run), `declared_policy` (what a suite says
of a policy's training). The YAML files of the suites that ship are in `suites/`.

Other rooms may import `suite` and `declared_policy`. This room imports `envs` and `policies` only.
"""
