"""Reads the actions of a user's CALVIN model, in all forms that `Robot.apply_action` of calvin_env takes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.names import require_name
from calvinbench.envs.observation import ActionConvention, require_finite_action
from calvinbench.policies.adapters.absolute_pose import with_euler_angles
from calvinbench.policies.adapters.gripper import GripperReader, GripperRule

_TYPES = {
    "cartesian_rel": ActionConvention.REL_ACTIONS,
    "cartesian_abs": ActionConvention.ABS_ACTIONS,
    "joint_rel": ActionConvention.REL_JOINTS,
    "joint_abs": ActionConvention.ABS_JOINTS,
}
"""Values of `type` in an action dictionary of calvin_env."""


class _Reading(NamedTuple):
    """The convention of an action, and its numbers in one row."""

    convention: ActionConvention
    numbers: Float64[np.ndarray, " n"]


def read_action(
    action: Any, declared: ActionConvention, gripper: GripperReader | None = None
) -> Float64[np.ndarray, " action_dim"]:
    """The action that a CALVIN model returned, in the declared convention.

    Args:
        action: Seven numbers (relative; axes of length 1 are dropped); a tuple of position, orientation (euler xyz or
            quaternion xyzw) and gripper (absolute); or a dictionary with `type` and `action`.
        declared: The convention that the policy declares.
        gripper: Reads the last number; None accepts only -1 and +1, as calvin_env does.

    Raises:
        ValueError: The action is None or has another convention, has a wrong shape, is not finite, or its gripper
            cannot be read.
        UnknownNameError: calvin_env does not know the dictionary's `type`.
    """
    if action is None:
        raise ValueError("expected step() to return an action, got None: does it end without return?")
    convention, numbers = _read(action)
    if convention is not declared:
        # A user who declares metres and returns seven flat numbers must not be advised to declare them relative,
        # because the world would read the metres as units of 0.02 m.
        if declared is ActionConvention.ABS_ACTIONS and not isinstance(action, Mapping):
            raise ValueError(
                f"expected an action of convention '{declared}', got seven flat numbers: {action!r}. calvin_env reads "
                "seven flat numbers as relative; return (position, orientation, gripper) or "
                "{'type': 'cartesian_abs', 'action': ...}."
            )
        raise ValueError(
            f"expected an action of convention '{declared}', got one of '{convention}': {action!r}. "
            f"Add ',actions={convention}' to the policy spec."
        )
    array = require_finite_action(numbers, declared).copy()  # it may be the model's own
    reader = GripperReader(GripperRule()) if gripper is None else gripper
    array[-1] = reader.read(float(array[-1]))
    return array


def _read(action: Any) -> _Reading:
    """The convention follows from the form of the action, as in calvin_env."""
    if isinstance(action, Mapping):
        if "type" not in action or "action" not in action:
            raise ValueError(f"expected an action dictionary with 'type' and 'action', got keys {sorted(action)}.")
        convention = _TYPES[require_name(str(action["type"]), _TYPES, "action type")]
        if convention is ActionConvention.ABS_ACTIONS:
            return _Reading(convention, _absolute(action["action"]))
        return _Reading(convention, _flat(action["action"]))
    if isinstance(action, (tuple, list)) and len(action) == 3:
        return _Reading(ActionConvention.ABS_ACTIONS, _absolute(action))
    numbers = _flat(action)
    if numbers.shape != (7,):
        raise ValueError(
            f"expected a relative action of 7 numbers, got {numbers.shape[0]} flat numbers. As in calvin_env, return "
            "joint actions as {'type': 'joint_abs', 'action': ...}, and absolute poses as (position, orientation, "
            "gripper) or {'type': 'cartesian_abs', 'action': ...}."
        )
    return _Reading(ActionConvention.REL_ACTIONS, numbers)


def _absolute(action: Any) -> Float64[np.ndarray, " n"]:
    """Position, euler xyz and gripper, from a triple or from one row with a quaternion."""
    if isinstance(action, (tuple, list)) and len(action) == 3:
        numbers = np.concatenate([_flat(part) for part in action])
    else:
        numbers = _flat(action)
    return with_euler_angles(numbers)


def _flat(values: Any) -> Float64[np.ndarray, " n"]:
    """Numbers in one row. Torch tensors become numpy arrays, and axes of length 1 are dropped."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected an action made of numbers, got {values!r}.") from error
    if array.size != max(array.shape, default=1):
        raise ValueError(
            f"expected one action (7 numbers), got an array of shape {array.shape}. "
            "Return one action a step, not a chunk or a batch."
        )
    return array.reshape(-1)
