"""Recording what a world does with given actions, calvin_env's in a process of its own.

An episode of calvin_env depends on what its process did before; what a fresh process gives is the same everywhere.
`python -m calvinbench.envs.upstream.recording ORDER.npz RECORDING.npz` is that process.
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
        pictures: By camera, the images after the reset and after every `picture_every` actions.
        picture_every: How many actions lie between images.
        revision: calvin_env's, or what else tells which world this is.
    """

    robot_obs: Float64[np.ndarray, "T1 15"]
    scene_obs: Float64[np.ndarray, "T1 24"]
    pictures: Mapping[str, UInt8[np.ndarray, "P H W 3"]]
    picture_every: int
    revision: str


def record(
    env: gymnasium.Env[dict[str, np.ndarray], np.ndarray],
    robot_obs: Float64[np.ndarray, "15"],
    scene_obs: Float64[np.ndarray, "24"],
    actions: Float64[np.ndarray, "T 7"],
    picture_every: int = 1,
) -> Recording:
    """Sets a world to a state, applies actions and keeps what it shows.

    Args:
        env: The world; it stays open.
        robot_obs: The state to begin in.
        scene_obs: The state to begin in.
        actions: As the world's convention says.
        picture_every: How many actions lie between the images that are kept.
    """
    observations: list[dict[str, np.ndarray]] = []
    pictures: dict[str, list[np.ndarray]] = {}
    for index, observation in enumerate(_observations(env, robot_obs, scene_obs, actions)):
        observations.append({key: observation[key] for key in ("robot_obs", "scene_obs")})
        if index % picture_every == 0:
            for key, picture in observation.items():
                if key.startswith("rgb_"):
                    pictures.setdefault(key.removeprefix("rgb_"), []).append(picture)
    return Recording(
        np.stack([observation["robot_obs"] for observation in observations]),
        np.stack([observation["scene_obs"] for observation in observations]),
        {camera: np.stack(taken) for camera, taken in pictures.items()},
        picture_every,
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
    picture_every: int = 1,
    python: str | Path = sys.executable,
) -> Recording:
    """Records calvin_env's own simulator in a fresh process.

    Args:
        settings: Of `UpstreamPlayTableEnv`, as JSON can tell them.
        robot_obs: As in `record`; so are `scene_obs`, `actions` and `picture_every`.
        scene_obs: See `robot_obs`.
        actions: See `robot_obs`.
        picture_every: See `robot_obs`.
        python: The interpreter that has calvinbench and what calvin_env imports.

    Raises:
        UpstreamError: The process failed; the message ends with its last words.
    """
    with tempfile.TemporaryDirectory(prefix="calvinbench-upstream-") as folder:
        order, recording = Path(folder) / "order.npz", Path(folder) / "recording.npz"
        np.savez(
            order,
            settings=json.dumps(dict(settings)),
            robot_obs=robot_obs,
            scene_obs=scene_obs,
            actions=actions,
            picture_every=picture_every,
        )
        done = run_upstream_python(python, ["-m", _MODULE, str(order), str(recording)])
        if done.returncode != 0 or not recording.is_file():
            raise UpstreamError(upstream_failure(done.returncode, done.stderr))
        with np.load(recording) as kept:
            return Recording(
                kept["robot_obs"],
                kept["scene_obs"],
                {key.removeprefix("rgb_"): kept[key] for key in kept.files if key.startswith("rgb_")},
                int(kept["picture_every"]),
                str(kept["revision"]),
            )


def run_upstream_python(python: str | Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs an interpreter to its end and returns what it said.

    Raises:
        UpstreamError: There is no such program.
    """
    try:
        return subprocess.run([str(python), *words], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise UpstreamError(
            f"expected a Python interpreter at '{python}', got: {error.strerror or error}. "
            "Give the one that has calvinbench and calvin_env by --upstream-python."
        ) from error


def upstream_failure(status: int, stderr: str) -> str:
    """Why a process with calvin_env failed: its last words, which are our own error's where there is one."""
    if status < 0:
        return (
            f"expected calvin_env's process to end by itself, but signal {-status} ended it. "
            "Where the EGL plugin was asked for, this machine cannot do it: use the renderer bullet-tiny."
        )
    last = next((line for line in reversed(stderr.splitlines()) if line.strip()), "it said nothing")
    # A traceback's last line begins with the error's class, which tells a user nothing.
    words = re.sub(r"^[\w.]*UpstreamError: ", "", last.strip())
    return f"calvin_env's process failed with status {status}: {words}"


def main(order_file: str, recording_file: str) -> None:
    """What the fresh process does: reads an order, records, writes."""
    from calvinbench.envs.upstream.upstream import UpstreamPlayTableEnv

    with np.load(order_file) as order:
        env = UpstreamPlayTableEnv(**json.loads(str(order["settings"])))
        recording = record(env, order["robot_obs"], order["scene_obs"], order["actions"], int(order["picture_every"]))
    env.close()
    np.savez(
        recording_file,
        allow_pickle=False,
        robot_obs=recording.robot_obs,
        scene_obs=recording.scene_obs,
        picture_every=recording.picture_every,
        revision=recording.revision,
        **{f"rgb_{camera}": pictures for camera, pictures in recording.pictures.items()},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
