"""The two ways in which a world's physics can be run."""

REPRODUCIBLE, PARITY = "reproducible", "parity"
SIMULATIONS = (REPRODUCIBLE, PARITY)
"""`reproducible`: an episode is bit-identical whatever ran before it. `parity`: it is bit-identical to calvin_env in
a fresh process. The two differ once bodies touch, because Bullet processes contacts in another order: by millimetres
within tens of steps, and by more after a block has fallen. calvin_env differs from itself in the same way if its
episodes run in another order.
"""
UPSTREAM = "upstream"
RUN_SIMULATIONS = (*SIMULATIONS, UPSTREAM)
"""The values for a run: one of ours, or `upstream`, calvin_env's own simulator, made again for each chain."""
