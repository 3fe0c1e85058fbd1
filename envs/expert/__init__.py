"""The scripted expert. It solves all 34 tasks from the world's privileged state.

Read in this order: `view` (what it reads), `motion`, `grasp`, `fixtures` (drawer, door, switch, button), `blocks`, and
`expert`, which chooses the routine of a task.

`policies.baselines.expert` makes a policy of it.
"""
