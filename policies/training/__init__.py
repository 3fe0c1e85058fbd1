"""Training a policy on demonstrations.

Read in this order: `settings` with `optimization`, `preparation` (model and data), `batches` (windows as tensors),
`data_loader` (their order), `losses`, `optimizer`, `trainer` (the loop) with `step_result`, `subscriber` and
`checkpoints`, `saved_state` (to resume after a kill) with `random_state`, `log`, `acceleration` (devices and
processes), `failures`. What a resumed training may change stands in `resumption`, `history` and `origin`.
"""
