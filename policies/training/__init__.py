"""Training a policy on demonstrations.

Read in this order: `settings` (what can be said), `preparation` (model and data made ready), `batches` (windows as
tensors), `data_loader` (in which order), `trainer` (the loop), `saved_state` (going on after a kill), `random_state`,
`log` (what is written down), `acceleration` (devices and processes), `failures`.
"""
