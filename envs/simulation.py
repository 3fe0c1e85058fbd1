"""The two ways in which a world's physics can be run."""

REPRODUCIBLE, PARITY = "reproducible", "parity"
SIMULATIONS = (REPRODUCIBLE, PARITY)
"""`reproducible`: an episode is bit-identical whatever came before. `parity`: bit-identical to calvin_env in a fresh
process. Once bodies touch the two part, for Bullet takes contacts in another order: by millimetres within tens of
steps, and by more once a block falls that way or this. So does calvin_env from itself, by the order of its episodes.
"""
UPSTREAM = "upstream"
RUN_SIMULATIONS = (*SIMULATIONS, UPSTREAM)
"""What a run may ask for: one of ours, or `upstream`, calvin_env's own simulator, anew for each chain."""
