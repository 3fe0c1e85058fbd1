"""Milliseconds of a world's step, ours and calvin_env's, by scene and by what is drawn: `python benchmarks/world.py`.

    python benchmarks/world.py                                          the embedded scene
    python benchmarks/world.py --calvin-env DIR                         and CALVIN's scene D
    python benchmarks/world.py --calvin-env DIR --upstream-python FILE  and calvin_env's own simulator beside ours

Every variant is measured in every round, one after another, so that a machine's ups and downs fall on all alike; the
tables give medians over rounds, and ratios within the run. Each world has a process of its own and takes turns.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import median

from upstream_world import UpstreamWorld, actions

CAMERAS = {"both pictures": ("static", "gripper"), "no pictures": ()}
UPSTREAM_RENDERERS = {"bullet-tiny": "its default", "bullet-egl": "EGL", "none": "no pictures"}


@dataclass(frozen=True, slots=True)
class Variant:
    """One of our worlds."""

    scene: str
    cameras: tuple[str, ...]
    renderer: str = "opengl-look"
    calvin_env: str | None = None


class World:
    """One of our worlds in another process; it waits, and takes no processor time, between commands."""

    def __init__(self, variant: Variant) -> None:
        """Starts the process and waits for its world."""
        context = multiprocessing.get_context("spawn")
        self._commands, commands = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(variant, commands), daemon=True)
        self._process.start()
        self.start_seconds: float = self._commands.recv()

    def begin(self, num_steps: int) -> None:
        """Asks for steps; `seconds` waits for them."""
        self._commands.send(num_steps)

    def seconds(self) -> float:
        """Seconds a step of what was asked for."""
        spent: float = self._commands.recv()
        return spent

    def step(self, num_steps: int) -> float:
        """Seconds a step, from so many steps after a reset that is not timed."""
        self.begin(num_steps)
        return self.seconds()

    def ask(self, question: str) -> dict[str, float]:
        """`memory` (megabytes) or `parts` (milliseconds)."""
        self._commands.send(question)
        answer: dict[str, float] = self._commands.recv()
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._commands.send(None)
        self._process.join()


def _serve(variant: Variant, commands: Connection) -> None:
    from calvinbench.envs.chain_env import scene_of
    from calvinbench.envs.chains import initial_observation, published
    from calvinbench.envs.play_table import PlayTableEnv

    began = time.perf_counter()
    env = PlayTableEnv(variant.scene, cameras=variant.cameras, renderer=variant.renderer, calvin_env=variant.calvin_env)
    robot_obs, scene_obs = initial_observation(published()[0].initial_state, scene_of(env))
    begin = partial(env.reset, options={"robot_obs": robot_obs, "scene_obs": scene_obs})
    begin()
    commands.send(time.perf_counter() - began)
    while (command := commands.recv()) is not None:
        begin()
        if command == "memory":
            commands.send({"megabytes": _resident_megabytes()})
        elif command == "parts":
            commands.send(_part_ms(env, begin, 60))
        else:
            steps = iter(list(actions(command)))
            commands.send(1e-3 * _milliseconds(lambda: env.step(next(steps)), command))  # noqa: B023  called at once
    env.close()


def _resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _milliseconds(work: Callable[[], object], times: int = 1) -> float:
    """Wall time of one call, from several."""
    began = time.perf_counter()
    for _ in range(times):
        work()
    return 1e3 * (time.perf_counter() - began) / times


def _part_ms(env: object, begin: Callable[[], object], num_steps: int) -> dict[str, float]:
    """The parts of a step, and of a reset."""
    from calvinbench.envs.play_table import SUBSTEPS, PlayTableEnv

    assert isinstance(env, PlayTableEnv)
    client, robot = env._client, env._robot
    pictures = env._cameras

    def substeps() -> None:
        for _ in range(SUBSTEPS):
            client.stepSimulation()

    parts: Iterator[tuple[str, Callable[[], object]]]
    spent: dict[str, float] = {}
    env._shown = ()
    for action in actions(num_steps):
        parts = iter(
            [
                ("inverse kinematics and motors", partial(robot.apply, action, env.action_convention)),
                ("physics, 8 substeps", substeps),
                ("lights", env._table.update_lights),
                ("states", env._observe),
                ("info", env._info),
            ]
        )
        for part, work in parts:
            spent[part] = spent.get(part, 0.0) + _milliseconds(work) / num_steps
        env._renderer.world_changed()
        prepared = env._renderer._prepared()  # type: ignore[attr-defined]
        looking = partial(prepared.look, client, env._renderer._bodies, env._table)  # type: ignore[attr-defined]
        env._renderer._is_behind = False  # type: ignore[attr-defined]
        for part, work in (
            ("picture: places and shadows", looking),
            ("picture: static 200 x 200", pictures["static"].take),
            ("picture: gripper 84 x 84", pictures["gripper"].take),
        ):
            spent[part] = spent.get(part, 0.0) + _milliseconds(work) / num_steps
    return spent | {"(reset, once an episode)": _milliseconds(begin, 3)}


def main() -> None:
    """Measures and prints Markdown tables."""
    # Here, so that the worlds' processes, which import this file too, do not carry them.
    import pandas as pd
    from rich.progress import track

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60, help="steps of each variant in each round")
    parser.add_argument("--calvin-env", help="checkout of calvin_env, for scene D")
    parser.add_argument("--upstream-python", help="an interpreter that can import calvin_env, see docs/upstream.md")
    given = parser.parse_args()
    scenes = ["embedded", *(["D"] if given.calvin_env else [])]
    ours = {
        f"ours, {scene}, {what}": World(Variant(scene, cameras, calvin_env=given.calvin_env))
        for scene in scenes
        for what, cameras in CAMERAS.items()
    }
    scene = scenes[-1]
    upstream = {}
    if given.upstream_python:
        upstream = {
            f"calvin_env, D, {what}": UpstreamWorld(given.upstream_python, given.calvin_env, "D", renderer)
            for renderer, what in UPSTREAM_RENDERERS.items()
        }
    second = World(Variant(scene, CAMERAS["both pictures"], calvin_env=given.calvin_env))
    first = ours[f"ours, {scene}, both pictures"]
    samples: dict[str, list[float]] = {}
    two_to_one: list[float] = []
    for _ in track(range(given.rounds), "rounds", disable=not sys.stderr.isatty()):
        for name, world in {**upstream, **ours}.items():
            samples.setdefault(name, []).append(1e3 * world.step(given.steps))
        # The speed that each keeps beside the other, of the one that it has alone.
        pair = (first, second)
        alone = [world.step(4 * given.steps) for world in pair]
        for world in pair:
            world.begin(4 * given.steps)
        together = [world.seconds() for world in pair]
        two_to_one.append(sum(one / two for one, two in zip(alone, together, strict=True)))
    base = median(next(iter(samples.values())))
    rows = [
        {
            "a step of": name,
            "ms": round(median(spent), 2),
            "fastest": round(min(spent), 2),
            "slowest": round(max(spent), 2),
            "times as fast as the first": f"{base / median(spent):.1f}",
        }
        for name, spent in samples.items()
    ]
    print(pd.DataFrame(rows).to_markdown(index=False), end="\n\n")
    rows = [
        {
            "world": name,
            "from its making to its first picture, s": round(world.start_seconds, 2),
            "memory of its process, MB": round(world.ask("memory")["megabytes"]),
        }
        for name, world in ours.items()
    ]
    print(pd.DataFrame(rows).to_markdown(index=False), end="\n\n")
    print(f"Two processes at once do {median(two_to_one):.2f} times the steps of one ({scene}, both pictures).\n")
    parts = [first.ask("parts") for _ in range(given.rounds)]
    rows = [{f"of a step on {scene}": part, "ms": round(median(p[part] for p in parts), 3)} for part in parts[0]]
    print(pd.DataFrame(rows).to_markdown(index=False))
    for world in (*ours.values(), *upstream.values(), second):
        world.close()


if __name__ == "__main__":
    main()
