"""What a world shows and what it accepts: shapes, units and conventions.

Units are metres, radians and seconds. Angles are euler xyz (extrinsic, as in `pybullet.getEulerFromQuaternion`). The
frame is the world's. The numbers are CALVIN's (mees/calvin_env at 797142c).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

CONTROL_HZ = 30
"""Actions a second (`control_freq` of calvin_env)."""
PHYSICS_HZ = 240
"""Bullet steps a second (`bullet_time_step` of calvin_env)."""
CAMERA_SIZES: Mapping[str, int] = {"static": 200, "gripper": 84}
"""Native width and height of each camera's square image, in pixels."""
ROBOT_OBS_DIM = 15
"""tcp xyz (3), tcp euler xyz (3), gripper width, arm joints (7), last gripper action (-1 closed, +1 open)."""
SCENE_OBS_DIM = 24
"""slider, drawer, button, switch joints; lightbulb, led (0 or 1); for each of three blocks xyz and euler xyz."""
MAX_RELATIVE_POSITION_M = 0.02
"""Metres that a relative action of 1 moves the target along an axis (`max_rel_pos` of calvin_env)."""
MAX_RELATIVE_EULER_RAD = 0.05
"""Radians that a relative action of 1 turns the target about an axis (`max_rel_orn` of calvin_env)."""


class ActionConvention(StrEnum):
    """What the numbers of an action mean. The last number is always the gripper: +1 open, -1 close."""

    REL_ACTIONS = "rel_actions"
    """(7,): xyz in units of 0.02 m, euler xyz in units of 0.05 rad, added to the target of the last action; gripper."""
    ABS_ACTIONS = "abs_actions"
    """(7,): tcp xyz in metres, tcp euler xyz in radians, world frame; gripper. Or (8,), with a quaternion xyzw."""
    REL_JOINTS = "rel_joints"
    """(8,): seven joint angles in radians, added to the measured ones; gripper."""
    ABS_JOINTS = "abs_joints"
    """(8,): seven joint angles in radians; gripper."""

    @property
    def dims(self) -> tuple[int, ...]:
        """Accepted sizes of an action, the usual one first."""
        return {ActionConvention.REL_ACTIONS: (7,), ActionConvention.ABS_ACTIONS: (7, 8)}.get(self, (8,))

    @property
    def action_dim(self) -> int:
        """Numbers in an action: 7 for Cartesian conventions, 8 for joints."""
        return self.dims[0]


@dataclass(frozen=True, slots=True)
class Observation:
    """What policies see: the observations of B worlds, batched. A part that the policy does not read is None.

    Images are rendered only for worlds whose images the policy looks at, see `looks_next` in `policies.looking`.

    Attributes:
        rgb_static: Images of the camera beside the table, 0..255.
        rgb_gripper: Images of the camera on the gripper, 0..255.
        depth_static: Distance along the camera's axis in metres.
        depth_gripper: Distance along the camera's axis in metres.
        robot_obs: Proprioception; `ROBOT_OBS_DIM` lists its numbers.
        is_rendered: Which worlds' images were rendered; None for all. The images of other worlds are zeros. If no
            world's images were rendered, this is all False, and images and depths are None.
    """

    rgb_static: UInt8[np.ndarray, "B H W 3"] | None = None
    rgb_gripper: UInt8[np.ndarray, "B h w 3"] | None = None
    depth_static: Float32[np.ndarray, "B H W"] | None = None
    depth_gripper: Float32[np.ndarray, "B h w"] | None = None
    robot_obs: Float64[np.ndarray, "B 15"] | None = None
    is_rendered: Bool[np.ndarray, " B"] | None = None

    @classmethod
    def stack(
        cls, observations: Sequence[Mapping[str, Any]], keys: Sequence[str], *, is_rendered: bool = True
    ) -> "Observation":
        """Batches the observations of several worlds, and keeps only `keys`.

        Args:
            observations: One mapping a world, as `PlayTableEnv` returns it.
            keys: Which entries to keep, among `OBSERVATION_KEYS`.
            is_rendered: Whether the worlds' images were rendered. If not, images and depths are left out.

        Raises:
            KeyError: A world does not show a key. The message lists the keys that it shows.
        """
        if not is_rendered:
            keys = [key for key in keys if not is_image(key)]
        for key in keys:
            for observation in observations:
                if key not in observation:
                    raise KeyError(
                        f"expected an observation with '{key}', but the world shows {sorted(observation)}. "
                        "Turn that camera or state on when you make the world."
                    )
        parts = {key: np.stack([observation[key] for observation in observations]) for key in keys}
        return cls(**parts, is_rendered=None if is_rendered else np.zeros(len(observations), dtype=np.bool_))

    def with_images_of(self, rows: Bool[np.ndarray, " B"]) -> "Observation":
        """The same with only the images of the marked worlds, as if those of the others were not rendered."""
        if rows.all():
            return self
        images = {key: value for key in IMAGE_KEYS if (value := getattr(self, key)) is not None}
        shown = {key: only_rows(value, rows) if rows.any() else None for key, value in images.items()}
        return replace(self, **shown, is_rendered=rows.copy())


def only_rows(values: np.ndarray, rows: Bool[np.ndarray, " B"]) -> np.ndarray:
    """A copy with zeros in the rows that are not marked."""
    copy = np.zeros_like(values)
    copy[rows] = values[rows]
    return copy


OBSERVATION_KEYS = ("rgb_static", "rgb_gripper", "depth_static", "depth_gripper", "robot_obs")
"""What a policy may read of an `Observation`."""
IMAGE_KEYS = OBSERVATION_KEYS[:4]
"""Those that are rendered."""


def is_image(key: str) -> bool:
    """Whether an entry of an observation is rendered: an image or a depth."""
    return key in IMAGE_KEYS


def require_finite_action(action: Any, convention: ActionConvention) -> Float64[np.ndarray, " action_dim"]:
    """Returns the action as float64, or raises an error that says what is wrong with it.

    Args:
        action: What a policy returned for one world.
        convention: The convention that the world accepts.

    Raises:
        ValueError: The shape is not one of the convention's, or a number is NaN or infinite.
        TypeError: The action does not consist of numbers.
    """
    try:
        array = np.asarray(action, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"expected {convention.action_dim} numbers as an action ({convention}), got {action!r}."
        ) from error
    if array.shape not in [(dim,) for dim in convention.dims]:
        raise ValueError(
            f"expected an action of shape ({convention.action_dim},) for '{convention}', got shape {array.shape}. "
            "Return one action for one world, without a batch or chunk axis."
        )
    if not np.isfinite(array).all():
        raise ValueError(
            f"expected finite numbers in an action, got {array.tolist()}. "
            "A NaN here usually comes from a diverged or half-loaded checkpoint."
        )
    return array


def require_finite_state(value: Any, name: str, dim: int) -> Float64[np.ndarray, " dim"]:
    """Returns a copy of a `robot_obs` or `scene_obs` as float64, or raises an error that says what is wrong with it.

    Args:
        value: The state.
        name: Its name, for the error.
        dim: Its size.

    Raises:
        ValueError: The shape is not `(dim,)`, or a number is NaN or infinite.
    """
    state = np.array(value, dtype=np.float64)
    if state.shape != (dim,):
        raise ValueError(f"expected {name} of shape ({dim},), got shape {state.shape}.")
    if not np.isfinite(state).all():
        raise ValueError(f"expected finite numbers in {name}, got {state.tolist()}.")
    return state
