"""Tells Gymnasium of our worlds."""

from gymnasium.envs.registration import register, registry

PLAY_TABLE_ID = "calvinbench/PlayTable-v0"


def register_envs() -> None:
    """Registers `calvinbench/PlayTable-v0`; calling it again changes nothing."""
    if PLAY_TABLE_ID not in registry:
        register(id=PLAY_TABLE_ID, entry_point="calvinbench.envs.play_table:PlayTableEnv")
