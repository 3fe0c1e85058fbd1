"""Milliseconds of a world's step, ours and calvin_env's, by scene and cameras: `python benchmarks/world.py`.

    python benchmarks/world.py                                          the embedded scene
    python benchmarks/world.py --calvin-env DIR                         and CALVIN's scene D
    python benchmarks/world.py --calvin-env DIR --upstream-python FILE  and calvin_env's own simulator

Every variant is measured in every round, one after another, so that changes of the machine's speed affect all alike.
Tables give medians over rounds, and ratios within the run. Each world has a process of its own.
"""

import argparse
import cProfile
import multiprocessing
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import median
from typing import Any

from upstream_world import UpstreamWorld, actions

CAMERAS = {"both images": ("static", "gripper"), "no images": ()}
UPSTREAM_RENDERERS = {"bullet-tiny": "its default", "bullet-egl": "EGL", "none": "no images"}
CACHE_VARIABLES = ("CALVINBENCH_CACHE", "NUMBA_CACHE_DIR")
PLAIN_LOOP = "plain loop"
"""Asks for a loop of plain Python, which shows how two processes share this machine."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One of our worlds."""

    scene: str
    cameras: tuple[str, ...]
    renderer: str = "opengl-look"
    calvin_env: str | None = None


class World:
    """One of our worlds in another process. Between commands it waits without using the processor."""

    def __init__(self, variant: Variant) -> None:
        """Starts the process and waits for its world."""
        context = multiprocessing.get_context("spawn")
        self._commands, commands = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(variant, commands), daemon=True)
        self._process.start()
        self.start_seconds: float = self._commands.recv()

    def begin(self, work: int | str) -> None:
        """Asks for this number of steps, or for `PLAIN_LOOP`. `seconds` waits for the result."""
        self._commands.send(work)

    def seconds(self) -> float:
        """Seconds a step of the last request, or seconds of the loop."""
        spent: float = self._commands.recv()
        return spent

    def step(self, work: int | str) -> float:
        """Seconds a step, over this number of steps after a reset that is not measured; or those of the loop."""
        self.begin(work)
        return self.seconds()

    def ask(self, question: str) -> dict[str, float]:
        """`memory` (megabytes), `parts` or `profile` (milliseconds)."""
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
            commands.send(_memory_megabytes())
        elif command == "parts":
            commands.send(_part_ms(env, begin, 60))
        elif command == "profile":
            commands.send(_profile_ms(env, 200))
        elif command == PLAIN_LOOP:
            commands.send(1e-3 * _milliseconds(_loop))
        else:
            steps = iter(list(actions(command)))
            commands.send(1e-3 * _milliseconds(lambda: env.step(next(steps)), command))  # noqa: B023  called at once
    env.close()


def _memory_megabytes() -> dict[str, float]:
    """The memory of this process; and its own part, without the libraries' files, which worlds share."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: 1.024e-3 * int(status[field].split()[0]) for name, field in (("all", "VmRSS"), ("own", "RssAnon"))}


def _milliseconds(work: Callable[[], object], times: int = 1) -> float:
    """Wall time of one call, as the mean of several."""
    began = time.perf_counter()
    for _ in range(times):
        work()
    return 1e3 * (time.perf_counter() - began) / times


def _loop() -> None:
    total = 0
    for number in range(5_000_000):
        total += number


def _profile_ms(env: Any, num_steps: int) -> dict[str, float]:
    """The own time of each function in a step. Compiled code and Bullet's count to the function that calls them."""
    profile = cProfile.Profile()
    steps = list(actions(num_steps))
    profile.enable()
    for action in steps:
        env.step(action)
    profile.disable()
    functions = pstats.Stats(profile).get_stats_profile().func_profiles
    return {
        f"{Path(function.file_name).stem}.{name}": 1e3 * function.tottime / num_steps
        for name, function in functions.items()
    }


def _part_ms(env: object, begin: Callable[[], object], num_steps: int) -> dict[str, float]:
    """The parts of a step, and of a reset."""
    from calvinbench.envs.play_table import SUBSTEPS, PlayTableEnv

    assert isinstance(env, PlayTableEnv)
    client, robot = env._client, env._robot
    cameras = env._cameras

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
                ("states", env._states),
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
            ("image: poses and shadows", looking),
            ("image: static 200 x 200", cameras["static"].take),
            ("image: gripper 84 x 84", cameras["gripper"].take),
        ):
            spent[part] = spent.get(part, 0.0) + _milliseconds(work) / num_steps
    return spent | {"(reset, once an episode)": _milliseconds(begin, 3)}


def two_to_one(pair: tuple[World, World], work: int | str) -> float:
    """The sum of the speeds of two that run together, each as a fraction of its speed alone."""
    alone = [world.step(work) for world in pair]
    for world in pair:
        world.begin(work)
    together = [world.seconds() for world in pair]
    return sum(one / two for one, two in zip(alone, together, strict=True))


def _start_without_caches(variant: Variant) -> float:
    """Seconds from making a world to its first image, with nothing compiled or cached."""
    usual = dict(os.environ)
    with tempfile.TemporaryDirectory() as empty:
        os.environ.update(dict.fromkeys(CACHE_VARIABLES, empty))
        try:
            world = World(variant)
        finally:
            os.environ.clear()
            os.environ.update(usual)
        world.close()
    return world.start_seconds


def main() -> None:
    """Measures and prints Markdown tables."""
    # Imported here, so that the worlds' processes, which import this file too, do not load them.
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
    upstream: dict[str, UpstreamWorld] = {}
    if given.upstream_python:
        upstream = {
            f"calvin_env, D, {what}": UpstreamWorld(given.upstream_python, given.calvin_env, "D", renderer)
            for renderer, what in UPSTREAM_RENDERERS.items()
        }
    shown = Variant(scene, CAMERAS["both images"], calvin_env=given.calvin_env)
    first, second = ours[f"ours, {scene}, both images"], World(shown)
    samples: dict[str, list[float]] = {}
    two_worlds: list[float] = []
    two_loops: list[float] = []
    worlds: Mapping[str, World | UpstreamWorld] = {**upstream, **ours}
    for _ in track(range(given.rounds), "rounds", disable=not sys.stderr.isatty()):
        for name, world in worlds.items():
            samples.setdefault(name, []).append(1e3 * world.step(given.steps))
        two_worlds.append(two_to_one((first, second), 4 * given.steps))
        two_loops.append(two_to_one((first, second), PLAIN_LOOP))
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
            "from its making to its first image, s": round(world.start_seconds, 2),
            "memory of its process, MB": round(memory["all"]),
            "of that without shared libraries, MB": round(memory["own"]),
        }
        for name, world in ours.items()
        for memory in (world.ask("memory"),)
    ]
    print(pd.DataFrame(rows).to_markdown(index=False), end="\n\n")
    print(f"With nothing cached, {scene}, both images: {_start_without_caches(shown):.0f} s to the first image.")
    for what, ratios in ((f"steps of one ({scene}, both images)", two_worlds), ("rounds of a plain loop", two_loops)):
        least_to_most = f"{min(ratios):.2f} to {max(ratios):.2f} by the round"
        print(f"Two processes at once do {median(ratios):.2f} times the {what}, {least_to_most}.")
    print()
    profile = pd.Series(first.ask("profile")).sort_values(ascending=False)
    parts = [first.ask("parts") for _ in range(given.rounds)]
    rows = [{f"of a step on {scene}": part, "ms": round(median(p[part] for p in parts), 3)} for part in parts[0]]
    print(pd.DataFrame(rows).to_markdown(index=False), end="\n\n")
    print(f"By a profile of 200 steps on {scene}, {profile.sum():.1f} ms a step, each function's own time:\n")
    print(profile.head(10).round(2).rename_axis("function").rename("ms").to_markdown())
    for world in (*worlds.values(), second):
        world.close()


if __name__ == "__main__":
    main()
