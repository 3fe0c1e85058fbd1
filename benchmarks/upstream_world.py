"""calvin_env's own simulator in a process of its own, stepped by commands, to measure it together with our world.

    side = UpstreamWorld(python="/path/to/python", calvin_env=Path("calvin_env"), renderer="bullet-tiny")
    side.step(60)        # seconds a step: sets the first published chain's initial state, then takes 60 actions
    side.close()

Only `PlayTableSimEnv.step` is measured, without our interface around it. To compare all renderers, run
`python benchmarks/upstream_world.py --upstream-python FILE --calvin-env DIR`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

RENDERERS = ("bullet-tiny", "bullet-egl", "none")
"""calvin_env's default, its EGL plugin, and no cameras."""


def actions(num_steps: int) -> Iterator[np.ndarray]:
    """A slow, smooth motion above the table, the same in every world."""
    generator = np.random.default_rng(0)
    action = np.zeros(7)
    for _ in range(num_steps):
        action = np.clip(0.9 * action + 0.2 * generator.standard_normal(7), -1.0, 1.0)
        yield np.array([*action[:6], 1.0])


class UpstreamWorld:
    """A `PlayTableSimEnv` in another process. Between commands it waits without using the processor."""

    def __init__(
        self,
        python: str | Path = sys.executable,
        calvin_env: str | Path | None = None,
        scene: str = "D",
        renderer: str = "bullet-tiny",
    ) -> None:
        """Starts the process and waits until its world is made.

        Args:
            python: An interpreter that has calvinbench and the packages that calvin_env imports.
            calvin_env: The checkout; None for the one that the interpreter finds.
            scene: One of CALVIN's.
            renderer: One of `RENDERERS`.

        Raises:
            RuntimeError: The process could not make its world. Its output is on standard error.
        """
        words = [str(python), str(Path(__file__).resolve()), "--serve", "--scene", scene, "--renderer", renderer]
        words += ["--calvin-env", str(calvin_env)] if calvin_env else []
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        about = self._read()
        self.revision = str(about["revision"])
        self.start_seconds = float(about["start_seconds"])

    def step(self, num_steps: int) -> float:
        """Seconds a step, over this number of steps after a reset that is not measured."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{num_steps}\n")
        self._process.stdin.flush()
        return float(self._read()["seconds"]) / num_steps

    def close(self) -> None:
        """Ends the process. Calling it twice is allowed."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait(timeout=60)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise RuntimeError(f"expected an answer of calvin_env's process, but it ended with status {status}.")
        answer: dict[str, Any] = json.loads(line)
        return answer


def serve(scene: str, renderer: str, calvin_env: str | None) -> None:
    """The work of the process: makes a world, then takes as many steps as each number on standard input says."""
    # Output of calvin_env and Bullet must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from calvinbench.envs.chains import initial_observation, published
    from calvinbench.envs.scenes.loading import load_scene
    from calvinbench.envs.upstream.simulator import close_simulator, import_upstream, make_simulator

    def answer(**content: float | str) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    began = time.perf_counter()
    upstream = import_upstream(calvin_env)
    cameras = () if renderer == "none" else ("static", "gripper")
    simulator = make_simulator(upstream, f"calvin_scene_{scene}", cameras, use_egl=renderer == "bullet-egl")
    answer(revision=upstream.revision, start_seconds=time.perf_counter() - began)
    drawn = load_scene(scene, upstream.checkout.root)
    robot_obs, scene_obs = initial_observation(published()[0].initial_state, drawn)
    for line in sys.stdin:
        steps = list(actions(int(line)))
        simulator.reset(robot_obs=robot_obs, scene_obs=scene_obs)
        began = time.perf_counter()
        for action in steps:
            simulator.step(action)
        answer(seconds=time.perf_counter() - began)
    close_simulator(simulator)


def main() -> None:
    """Serves another process, or measures every renderer in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", help="take commands on standard input")
    parser.add_argument("--scene", default="D")
    parser.add_argument("--renderer", choices=RENDERERS, action="append")
    parser.add_argument("--calvin-env")
    parser.add_argument("--upstream-python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    given = parser.parse_args()
    renderers = given.renderer or list(RENDERERS)
    if given.serve:
        serve(given.scene, renderers[0], given.calvin_env)
        return
    sides = {name: UpstreamWorld(given.upstream_python, given.calvin_env, given.scene, name) for name in renderers}
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(given.rounds):
        for name, side in sides.items():
            samples[name].append(1e3 * side.step(given.steps))
    for name, side in sides.items():
        spent = samples[name]
        print(
            f"calvin_env {side.revision}, {name}: {median(spent):.2f} ms a step "
            f"({min(spent):.2f} to {max(spent):.2f}), made in {side.start_seconds:.2f} s"
        )
        side.close()


if __name__ == "__main__":
    main()
