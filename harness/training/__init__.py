"""Training as a command: a configuration and flags become a training that evaluates and reports itself.

Read in this order: `call` (configuration and flags) with `aliases` and `conflicts`, `data` and `idle` (checks before
the first step), `smoke`, `training` (a training from start to end), `resume` and `changes`, `evaluation` (chains run
while it trains), `report` (progress, figures, TensorBoard). The shipped configurations are YAML files in
`configurations/`. The training loop itself is in `policies.training`.

The command line may import `call` and `training`.
"""
