"""One chain: a policy steps a world from the chain's initial state to its end.

Read in this order: `jobs` (which chain), `rollout`, `diary` (what is measured on the way), `time_limit`, `workers` (a
world with its policy), `videos`, `positions` (how far the chains under way are), `error_traceback`.

Other rooms may import all of it.
"""
