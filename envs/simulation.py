"""The two ways in which a world's physics can be run."""

REPRODUCIBLE, PARITY = "reproducible", "parity"
SIMULATIONS = (REPRODUCIBLE, PARITY)
"""`reproducible`: an episode is bit-identical whatever came before. `parity`: bit-identical to calvin_env in a fresh
process. Once bodies touch, the two part by millimetres within tens of steps: Bullet takes contacts in another order."""
