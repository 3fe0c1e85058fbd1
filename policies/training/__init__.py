"""Training a policy on demonstrations.

Read in this order: `settings` with `optimization`, `preparation` (model and data), `batches` (windows as tensors),
`data_loader` (their order), `losses`, `optimizer`, `trainer` (the loop) with `step_result` and `subscriber`,
`saved_state` (checkpoints, and the state to resume from), `log`, `acceleration` (devices and processes), `failures`.
`recipe` says what a resumed training may change.
"""
