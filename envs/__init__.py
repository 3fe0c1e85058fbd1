"""The world: a Gymnasium environment on PyBullet with CALVIN's tasks, chains, cameras, actions and oracle.

Importing it registers `calvinbench/PlayTable-v0` and `calvinbench/UpstreamPlayTable-v0` with Gymnasium, so that
`gymnasium.make` finds them.
Read in this order: `observation`, `scene`, `robot`, `cameras`, `play_table`, `tasks`, `chains`, `chain_env`.
"""

if __name__ != "calvinbench.envs":
    raise ImportError(
        f"expected to be imported as 'calvinbench.envs', but was imported as '{__name__}'. "
        "A second copy of every class would appear. Install the project (`pip install -e .`) and "
        "write `import calvinbench.envs`."
    )

from calvinbench.envs.registration import register_envs

register_envs()
