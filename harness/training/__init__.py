"""Training as a command: a configuration and flags become a training that evaluates and reports itself.

Read in this order: `call` (configuration and flags) with `aliases` and `conflicts`, `data` and `idle` (what is looked
at before the first step), `smoke`, `training` (a training from start to end), `resume` and `changes`, `evaluation`
(success on chains while it trains), `report` (its log and figure). The YAML files of the configurations that ship are
in `configurations/`. The training loop itself is `policies.training`.

The command line may import `call` and `training`.
"""
