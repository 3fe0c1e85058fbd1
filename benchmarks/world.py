"""Milliseconds of a world's step, by part and by what is rendered: `python benchmarks/world.py`.

Every variant is measured in every round, one after another, so that a machine's ups and downs fall on all alike; the
table gives each one's median over rounds, and its ratio to a step without pictures.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import numpy as np
import pandas as pd
from rich.progress import track

from calvinbench.envs.chains import initial_observation, published
from calvinbench.envs.play_table import SUBSTEPS, PlayTableEnv

VARIANTS: dict[str, tuple[str, ...]] = {
    "no pictures": (),
    "gripper 84 x 84": ("gripper",),
    "static 200 x 200": ("static",),
    "both": ("static", "gripper"),
}


def actions(num_steps: int) -> Iterator[np.ndarray]:
    """A slow, smooth wander above the table, the same in every variant."""
    generator = np.random.default_rng(0)
    action = np.zeros(7)
    for _ in range(num_steps):
        action = np.clip(0.9 * action + 0.2 * generator.standard_normal(7), -1.0, 1.0)
        yield np.array([*action[:6], 1.0])


def begin(env: PlayTableEnv) -> None:
    """The first published chain's initial state."""
    robot_obs, scene_obs = initial_observation(published()[0].initial_state)
    env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})


def milliseconds(work: Callable[[], object], times: int = 1) -> float:
    """Wall time of one call, from several."""
    began = time.perf_counter()
    for _ in range(times):
        work()
    return 1e3 * (time.perf_counter() - began) / times


def step_ms(env: PlayTableEnv, num_steps: int) -> float:
    """A whole step."""
    begin(env)
    steps = iter(list(actions(num_steps)))
    return milliseconds(lambda: env.step(next(steps)), num_steps)


def part_ms(env: PlayTableEnv, num_steps: int) -> dict[str, float]:
    """The parts of a step without pictures, and of a reset."""
    begin(env)
    client, robot = env._client, env._robot
    steps = iter(list(actions(num_steps)))

    def substeps() -> None:
        for _ in range(SUBSTEPS):
            client.stepSimulation()

    spent = dict.fromkeys(("inverse kinematics and motors", "physics, 8 substeps", "lights", "states", "info"), 0.0)
    for _ in range(num_steps):
        action = next(steps)
        for part, work in (
            ("inverse kinematics and motors", partial(robot.apply, action, env.action_convention)),
            ("physics, 8 substeps", substeps),
            ("lights", env._table.update_lights),
            ("states", env._observe),
            ("info", env._info),
        ):
            spent[part] += milliseconds(work) / num_steps
    return spent | {"(reset, once an episode)": milliseconds(lambda: begin(env), 3)}


def main() -> None:
    """Measures and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60, help="steps of each variant in each round")
    arguments = parser.parse_args()
    worlds = {name: PlayTableEnv(cameras=cameras) for name, cameras in VARIANTS.items()}
    samples: dict[str, list[float]] = {}
    rounds = range(arguments.rounds)
    for _ in track(rounds, "rounds", disable=not sys.stderr.isatty()):
        for name, world in worlds.items():
            samples.setdefault(f"step, {name}", []).append(step_ms(world, arguments.steps))
        for part, spent in part_ms(worlds["no pictures"], arguments.steps).items():
            samples.setdefault(f"of it, {part}" if part[0] != "(" else part, []).append(spent)
    base = median(samples["step, no pictures"])
    rows = [
        {
            "what": name,
            "ms": round(median(spent), 3),
            "fastest": round(min(spent), 3),
            "slowest": round(max(spent), 3),
            "ratio": f"{median(spent) / base:.2f}",
        }
        for name, spent in samples.items()
    ]
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()
