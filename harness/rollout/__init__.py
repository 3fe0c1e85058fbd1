"""One chain: a policy steps a world from the chain's initial state to its end.

Read in this order: `jobs` (which chain), `rollout` (the loop), `step_rule` (what one step means), `diary` (what is
measured), `attempts` (when a chain is tried again), `time_limit`, `workers` (a policy and its world), `videos`,
`positions` (the progress of running chains), `error_traceback`.

Other rooms may import all of it.
"""
