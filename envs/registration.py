"""Registers our worlds with Gymnasium."""

from gymnasium.envs.registration import register, registry

PLAY_TABLE_ID = "calvinbench/PlayTable-v0"
UPSTREAM_ID = "calvinbench/UpstreamPlayTable-v0"
_ENTRY_POINTS = {
    PLAY_TABLE_ID: "calvinbench.envs.play_table:PlayTableEnv",
    UPSTREAM_ID: "calvinbench.envs.upstream.upstream:UpstreamPlayTableEnv",
}


def register_envs() -> None:
    """Registers our worlds; calling it again has no effect."""
    for name, entry_point in _ENTRY_POINTS.items():
        if name not in registry:
            register(id=name, entry_point=entry_point)
