"""Records what a world does with given actions. calvin_env is recorded in a process of its own.

An episode of calvin_env depends on what its process did before. In a fresh process it is the same on every machine.
That process is `python -m calvinbench.envs.upstream.recording ORDER.npz RECORDING.npz`.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float64, UInt8

from calvinbench.envs.upstream.simulator import UpstreamError

_MODULE = "calvinbench.envs.upstream.recording"


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """An episode of T actions.

    Attributes:
        robot_obs: After the reset and after each action.
        scene_obs: After the reset and after each action.
        images: By camera, the images after the reset and after every `image_every` actions.
        image_every: Number of actions from one image to the next.
        revision: The revision of calvin_env, or another description of the world.
    """

    robot_obs: Float64[np.ndarray, "T1 15"]
    scene_obs: Float64[np.ndarray, "T1 24"]
    images: Mapping[str, UInt8[np.ndarray, "P H W 3"]]
    image_every: int
    revision: str


def record(
    env: gymnasium.Env[dict[str, np.ndarray], np.ndarray],
    robot_obs: Float64[np.ndarray, "15"],
    scene_obs: Float64[np.ndarray, "24"],
    actions: Float64[np.ndarray, "T 7"],
    image_every: int = 1,
) -> Recording:
    """Sets a world to a state, applies actions and keeps the observations.

    Args:
        env: The world. It stays open.
        robot_obs: The first state of the robot.
        scene_obs: The first state of the scene.
        actions: Actions in the world's convention.
        image_every: Number of actions from one kept image to the next.
    """
    observations: list[dict[str, np.ndarray]] = []
    images: dict[str, list[np.ndarray]] = {}
    for index, observation in enumerate(_observations(env, robot_obs, scene_obs, actions)):
        observations.append({key: observation[key] for key in ("robot_obs", "scene_obs")})
        if index % image_every == 0:
            for key, image in observation.items():
                if key.startswith("rgb_"):
                    images.setdefault(key.removeprefix("rgb_"), []).append(image)
    return Recording(
        np.stack([observation["robot_obs"] for observation in observations]),
        np.stack([observation["scene_obs"] for observation in observations]),
        {camera: np.stack(taken) for camera, taken in images.items()},
        image_every,
        str(getattr(env.unwrapped, "calvin_env_revision", type(env.unwrapped).__name__)),
    )


def _observations(
    env: gymnasium.Env[dict[str, np.ndarray], np.ndarray],
    robot_obs: np.ndarray,
    scene_obs: np.ndarray,
    actions: np.ndarray,
) -> Iterator[dict[str, np.ndarray]]:
    yield env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})[0]
    for action in actions:
        yield env.step(action)[0]


def record_upstream(
    settings: Mapping[str, Any],
    robot_obs: Float64[np.ndarray, "15"],
    scene_obs: Float64[np.ndarray, "24"],
    actions: Float64[np.ndarray, "T 7"],
    image_every: int = 1,
    python: str | Path = sys.executable,
) -> Recording:
    """Records calvin_env's own simulator in a fresh process.

    Args:
        settings: Arguments of `UpstreamPlayTableEnv`, as JSON can write them.
        robot_obs: The first state of the robot.
        scene_obs: The first state of the scene.
        actions: Actions in the world's convention.
        image_every: Number of actions from one kept image to the next.
        python: An interpreter that has calvinbench and the packages that calvin_env imports.

    Raises:
        UpstreamError: The process failed. The message ends with the process's last line of output.
    """
    with tempfile.TemporaryDirectory(prefix="calvinbench-upstream-") as folder:
        order, recording = Path(folder) / "order.npz", Path(folder) / "recording.npz"
        np.savez(
            order,
            settings=json.dumps(dict(settings)),
            robot_obs=robot_obs,
            scene_obs=scene_obs,
            actions=actions,
            image_every=image_every,
        )
        done = run_upstream_python(python, ["-m", _MODULE, str(order), str(recording)])
        if done.returncode != 0 or not recording.is_file():
            raise UpstreamError(upstream_failure(done.returncode, done.stderr))
        with np.load(recording) as kept:
            return Recording(
                kept["robot_obs"],
                kept["scene_obs"],
                {key.removeprefix("rgb_"): kept[key] for key in kept.files if key.startswith("rgb_")},
                int(kept["image_every"]),
                str(kept["revision"]),
            )


def run_upstream_python(python: str | Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs a Python interpreter until it ends, and returns its output.

    Raises:
        UpstreamError: There is no such program.
    """
    try:
        return subprocess.run([str(python), *words], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise UpstreamError(
            f"expected a Python interpreter at '{python}', got: {error.strerror or error}. "
            "Name an interpreter that has calvinbench and calvin_env: --upstream-python FILE."
        ) from error


def upstream_failure(status: int, stderr: str) -> str:
    """Why a process with calvin_env failed: its last line of output, such as the message of our own error."""
    if status < 0:
        return (
            f"expected calvin_env's process to end normally, but signal {-status} ended it. "
            "If the renderer is bullet-egl, EGL does not work on this machine: use the renderer bullet-tiny."
        )
    last = next((line for line in reversed(stderr.splitlines()) if line.strip()), "it printed no error")
    # A traceback's last line begins with the error's class, which does not help a user.
    words = re.sub(r"^[\w.]*UpstreamError: ", "", last.strip())
    return f"calvin_env's process failed with status {status}: {words}"


def main(order_file: str, recording_file: str) -> None:
    """The work of the fresh process: read the order, record, write the recording."""
    from calvinbench.envs.upstream.upstream import UpstreamPlayTableEnv

    with np.load(order_file) as order:
        env = UpstreamPlayTableEnv(**json.loads(str(order["settings"])))
        recording = record(env, order["robot_obs"], order["scene_obs"], order["actions"], int(order["image_every"]))
    env.close()
    np.savez(
        recording_file,
        allow_pickle=False,
        robot_obs=recording.robot_obs,
        scene_obs=recording.scene_obs,
        image_every=recording.image_every,
        revision=recording.revision,
        **{f"rgb_{camera}": images for camera, images in recording.images.items()},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
