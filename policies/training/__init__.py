"""Training a policy on demonstrations.

Read in this order: `settings` (what can be said), `batches` (windows as tensors), `data_loader` (in which order),
`trainer` (the loop), `saved_state` (going on after a kill), `log` (what is written down), `failures`.
"""
