"""The scripted expert: solves all 34 tasks from the world's privileged state.

Read in this order: `view` (what it reads), `motion`, `grasp`, `expert`.

`policies.baselines.expert` makes a policy of it.
"""
