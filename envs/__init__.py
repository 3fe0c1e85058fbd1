"""The world: a Gymnasium environment on PyBullet with CALVIN's tasks, chains, cameras, actions and oracle.

Importing it registers `calvinbench/PlayTable-v0` and `calvinbench/UpstreamPlayTable-v0` with Gymnasium.

Read in this order:

1. `observation`: what a policy sees, and what an action means;
2. `scenes`, `bodies`, `cameras`: what a world is made of, and how it is drawn;
3. `world`: the interface of a world. `play_table` is the world on PyBullet (`spaces` has its spaces), `fake_play_table`
   is one without PyBullet, and `upstream` runs CALVIN's own simulator. `check` tests whether a world follows the
   interface;
4. `world_info`, `tasks`: what is true in a world, and which tasks are solved;
5. `chains`, `instructions`, `chain_env`: subtasks in a row, their sentences, and the environment that runs them.

`rendering` draws images. `expert` solves tasks by a script. `start_states`, `task_chains` and `lead_ins` make initial
states.
"""

if __name__ != "calvinbench.envs":
    raise ImportError(
        f"expected to be imported as 'calvinbench.envs', but was imported as '{__name__}'. "
        "That would create a second copy of every class. Install the project (`pip install -e .`) and "
        "write `import calvinbench.envs`."
    )

from calvinbench.envs.registration import register_envs

register_envs()
