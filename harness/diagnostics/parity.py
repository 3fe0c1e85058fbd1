"""Executes the same actions in our world and in calvin_env's simulator, and finds the first difference."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.chains import initial_observation, published
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.scenes.calvin_checkout import FOLLOWED_REVISION, find_calvin_env
from calvinbench.envs.simulation import PARITY
from calvinbench.envs.upstream.recording import Recording, record, record_upstream
from calvinbench.envs.upstream.simulator import UpstreamError
from calvinbench.harness.errors import RunFailedError

DEFAULT_STEPS = 100
_NUM_IMAGES = 11
_RENDERER = "bullet-tiny"
_ROBOT_ENTRIES = (
    *(f"tool {axis}" for axis in ("x", "y", "z", "euler x", "euler y", "euler z")),
    "gripper width",
    *(f"joint {number}" for number in range(1, 8)),
    "gripper action",
)
_FIXTURE_ENTRIES = ("slider", "drawer", "button", "switch", "lightbulb", "led")
_POSE_ENTRIES = ("x", "y", "z", "euler x", "euler y", "euler z")


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference of two recordings.

    Attributes:
        step: Number of actions before it; 0 is right after the reset.
        entry: Which number, such as `scene_obs[6] (block_red x)`, or which camera's images.
        upstream: calvin_env's number; 0 for images.
        ours: Our world's number; for images, the largest difference of a colour, 1 to 255.
    """

    step: int
    entry: str
    upstream: float
    ours: float

    @property
    def size(self) -> float:
        """The difference, in the entry's unit."""
        return abs(self.ours - self.upstream)


@dataclass(frozen=True, slots=True)
class Parity:
    """The result of the comparison.

    Attributes:
        scene: One of CALVIN's scenes.
        revision: Of calvin_env's source.
        steps: Number of actions.
        seed: Random seed of the actions.
        num_pictures: Number of compared images, of both cameras together.
        state: The first difference of `robot_obs` or `scene_obs`, None if there is none.
        picture: The first difference of images.
        largest: The largest difference of any number of the states over the whole episode.
    """

    scene: str
    revision: str
    steps: int
    seed: int
    num_pictures: int
    state: Difference | None
    picture: Difference | None
    largest: float

    @property
    def is_same(self) -> bool:
        """Whether there is no difference at all."""
        return self.state is None and self.picture is None

    def words(self) -> str:
        """The result as text."""
        what = f"scene {self.scene}, {self.steps} steps of seed {self.seed}, calvin_env {self.revision}"
        if self.is_same:
            return (
                f"{what}: no difference. All numbers of robot_obs and scene_obs are equal to the last bit, and so are "
                f"all pixels of {self.num_pictures} images."
            )
        found = []
        if self.state is not None:
            state = self.state
            found.append(
                f"first difference after step {state.step}: {state.entry} is {state.upstream!r} in calvin_env and "
                f"{state.ours!r} in ours, a difference of {state.size:.3g}; the largest difference of any number in "
                f"the episode is {self.largest:.3g}"
            )
        if self.picture is not None:
            image = self.picture
            found.append(
                f"first differing image after step {image.step}: {image.entry}, by up to {image.ours:g} of 255"
            )
        if self.revision != FOLLOWED_REVISION:
            found.append(
                f"our world follows calvin_env {FOLLOWED_REVISION}, so differences from {self.revision} are expected"
            )
        return f"{what}: {'; '.join(found)}."


def compare_with_upstream(
    scene: str = "D",
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    calvin_env: str | Path | None = None,
    python: str | Path = sys.executable,
) -> Parity:
    """Executes the same actions in calvin_env, in a new process, and in our world in its parity mode.

    Args:
        scene: One of CALVIN's scenes.
        steps: Number of actions.
        seed: Random seed of the actions.
        calvin_env: The checkout; None searches for one.
        python: A Python interpreter with calvinbench and the packages that calvin_env imports.

    Raises:
        UnknownNameError: There is no such scene.
        CheckoutError: There is no complete checkout.
        RunFailedError: calvin_env's simulator cannot be used.
        ValueError: `steps` is below 1, or `seed` below 0.
    """
    if steps < 1 or seed < 0:
        raise ValueError(f"expected at least one step and a seed of at least 0, got steps {steps} and seed {seed}.")
    root = find_calvin_env(calvin_env).root
    actions = wander(steps, np.random.default_rng(seed))
    image_every = max(1, steps // (_NUM_IMAGES - 1))
    env = PlayTableEnv(scene=scene, calvin_env=root, simulation=PARITY, renderer=_RENDERER)
    try:
        robot_obs, scene_obs = initial_observation(published()[0].initial_state, env.scene)
        ours = record(env, robot_obs, scene_obs, actions, image_every)
    finally:
        env.close()
    settings = {"scene": scene, "calvin_env": str(root), "renderer": _RENDERER}
    try:
        upstream = record_upstream(settings, robot_obs, scene_obs, actions, image_every, python)
    except UpstreamError as error:
        raise RunFailedError(str(error)) from error
    entries = {"robot_obs": _ROBOT_ENTRIES, "scene_obs": scene_entries(tuple(env.scene.block_urdfs))}
    return compare(upstream, ours, entries, scene, seed)


def wander(num_steps: int, generator: np.random.Generator) -> Float64[np.ndarray, "T 7"]:
    """Random actions that drift down towards the table, and turn the gripper now and then."""
    action, gripper = np.zeros(6), 1.0
    actions = np.empty((num_steps, 7))
    for index in range(num_steps):
        action = np.clip(0.9 * action + 0.3 * generator.standard_normal(6), -1.0, 1.0)
        if generator.random() < 0.05:
            gripper = -gripper
        actions[index] = [*action[:2], action[2] - 0.1, *action[3:], gripper]
    return actions


def scene_entries(blocks: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the 24 numbers of `scene_obs`, for a scene's order of blocks."""
    return (*_FIXTURE_ENTRIES, *(f"{block} {entry}" for block in blocks for entry in _POSE_ENTRIES))


def compare(
    upstream: Recording, ours: Recording, entries: Mapping[str, tuple[str, ...]], scene: str, seed: int
) -> Parity:
    """Finds the first differences of two recordings of the same actions.

    Args:
        upstream: calvin_env's.
        ours: Our world's.
        entries: Names of the numbers of `robot_obs` and `scene_obs`.
        scene: Name of the scene, for the report.
        seed: Random seed of the actions, for the report.
    """
    differences = [
        difference
        for name in ("robot_obs", "scene_obs")
        if (difference := _first_number(getattr(upstream, name), getattr(ours, name), name, entries[name]))
    ]
    images = [difference for camera in upstream.images if (difference := _first_image(upstream, ours, camera))]
    return Parity(
        scene=scene,
        revision=upstream.revision,
        steps=len(ours.robot_obs) - 1,
        seed=seed,
        num_pictures=sum(len(taken) for taken in upstream.images.values()),
        state=min(differences, key=_step, default=None),
        picture=min(images, key=_step, default=None),
        largest=max(
            float(np.abs(getattr(upstream, name) - getattr(ours, name)).max()) for name in ("robot_obs", "scene_obs")
        ),
    )


def _step(difference: Difference) -> int:
    return difference.step


def _first_number(upstream: np.ndarray, ours: np.ndarray, name: str, entries: tuple[str, ...]) -> Difference | None:
    """The largest difference in the first row that differs."""
    rows = np.flatnonzero((upstream != ours).any(axis=1))
    if len(rows) == 0:
        return None
    step = int(rows[0])
    index = int(np.abs(upstream[step] - ours[step]).argmax())
    return Difference(
        step, f"{name}[{index}] ({entries[index]})", float(upstream[step, index]), float(ours[step, index])
    )


def _first_image(upstream: Recording, ours: Recording, camera: str) -> Difference | None:
    apart = np.abs(upstream.images[camera].astype(np.int16) - ours.images[camera].astype(np.int16))
    taken = np.flatnonzero(apart.reshape(len(apart), -1).any(axis=1))
    if len(taken) == 0:
        return None
    index = int(taken[0])
    return Difference(index * upstream.image_every, f"rgb_{camera}", 0.0, float(apart[index].max()))
