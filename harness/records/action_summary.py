"""A summary of a subtask's actions, so that a table can say what looks wrong with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from calvinbench.envs.observation import MAX_RELATIVE_EULER_RAD, MAX_RELATIVE_POSITION_M, ActionConvention
from calvinbench.envs.scenes.panda import BASE_POSITION
from calvinbench.harness.records.typed_reading import Amount, Share

REACH_M = 1.2
"""The largest distance of the tool from the foot of the arm: 0.855 m to the flange, then gripper and long fingers."""
MAX_ANGLE_RAD = 2 * np.pi
"""Larger angles of an absolute action cannot be meant as radians."""
_QUATERNION_SLACK = 0.1
_STILL = 0.05
"""Relative actions below this, 1 mm and 0.0025 rad per step, hardly move the robot."""
BEYOND_ONE = 1.005
"""A larger number in a relative action counts as beyond 1; a smaller one may be a rounding error."""
_LARGEST = 1e9
"""Larger numbers are cut to this, because their sum may overflow."""
_DIGITS = 5


@dataclass(frozen=True, slots=True)
class ActionSummary:
    """The actions of a subtask. All but `closed` are None for joint actions.

    Attributes:
        translation: Mean absolute value of x, y, z in units of 0.02 m. For absolute actions, of the change from step to
            step, in the same units.
        rotation: The same for the euler angles, in units of 0.05 rad.
        largest_translation: The largest of the values that `translation` averages.
        largest_rotation: The largest of the values that `rotation` averages.
        translation_beyond: Share of steps with an x, y or z beyond [-1, 1]. For absolute actions, out of the arm's
            reach.
        rotation_beyond: Share of steps with an angle beyond [-1, 1]. For absolute actions, beyond a full turn, or with
            a quaternion of a length other than 1.
        still: Share of steps that move the robot by less than 1 mm and 0.0025 rad along each axis.
        closed: Share of steps that close the gripper, or keep it closed.
    """

    translation: Amount | None
    rotation: Amount | None
    largest_translation: Amount | None
    largest_rotation: Amount | None
    translation_beyond: Share | None
    rotation_beyond: Share | None
    still: Share | None
    closed: Share

    @classmethod
    def of(cls, actions: Sequence[Float64[np.ndarray, " action_dim"]], convention: ActionConvention) -> "ActionSummary":
        """Summarises actions.

        Args:
            actions: At least one, in their order.
            convention: What their numbers mean.

        Raises:
            ValueError: There is no action.
        """
        if not len(actions):
            raise ValueError("expected at least one action to sum up, got none.")
        numbers = np.clip(np.stack(actions), -_LARGEST, _LARGEST)
        closed = _share(numbers[:, -1] <= 0)
        match convention:
            case ActionConvention.REL_ACTIONS:
                positions, angles = numbers[:, :3], numbers[:, 3:6]
                beyond = [_any_beyond(positions, BEYOND_ONE), _any_beyond(angles, BEYOND_ONE)]
            case ActionConvention.ABS_ACTIONS:
                reach = np.linalg.norm(numbers[:, :3] - BASE_POSITION, axis=1)
                positions, angles = _changes(numbers)
                beyond = [reach > REACH_M, _is_no_rotation(numbers[:, 3:-1])]
            case _:
                return cls(None, None, None, None, None, None, None, closed)
        still = (np.abs(positions) < _STILL).all(axis=1) & (np.abs(angles) < _STILL).all(axis=1)
        return cls(
            translation=_rounded(np.abs(positions).mean()),
            rotation=_rounded(np.abs(angles).mean()),
            largest_translation=_rounded(np.abs(positions).max()),
            largest_rotation=_rounded(np.abs(angles).max()),
            translation_beyond=_share(beyond[0]),
            rotation_beyond=_share(beyond[1]),
            still=_share(still),
            closed=closed,
        )


def _changes(
    numbers: Float64[np.ndarray, "T action_dim"],
) -> tuple[Float64[np.ndarray, "S 3"], Float64[np.ndarray, "S n"]]:
    """Changes of absolute poses from step to step, in units of relative actions. A single pose is a change of 0.

    For quaternions, it is twice the change of their four numbers, which equals the angle if that is small.
    """
    changes = np.diff(numbers[:, :-1], axis=0) if len(numbers) > 1 else np.zeros((1, numbers.shape[1] - 1))
    turns = changes[:, 3:]
    turns = 2 * turns if turns.shape[1] == 4 else (turns + np.pi) % (2 * np.pi) - np.pi
    return changes[:, :3] / MAX_RELATIVE_POSITION_M, turns / MAX_RELATIVE_EULER_RAD


def _is_no_rotation(turns: Float64[np.ndarray, "T n"]) -> Bool[np.ndarray, " T"]:
    if turns.shape[1] == 4:
        return np.asarray(np.abs(np.linalg.norm(turns, axis=1) - 1) > _QUATERNION_SLACK)
    return _any_beyond(turns, MAX_ANGLE_RAD)


def _any_beyond(numbers: Float64[np.ndarray, "T n"], limit: float) -> Bool[np.ndarray, " T"]:
    return np.asarray((np.abs(numbers) > limit).any(axis=1))


def _share(marks: Bool[np.ndarray, " T"]) -> float:
    return round(float(marks.mean()), _DIGITS)


def _rounded(number: float | np.floating[Any]) -> float:
    """Rounded to five significant digits, because metres that are taken for units of 0.02 m are small numbers."""
    return float(f"{number:.{_DIGITS}g}")
