"""The actions in a server's answer, read and checked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.observation import ActionConvention, require_finite_action
from calvinbench.policies.adapters.absolute_pose import with_euler_angles


def read_chunk(answer: Any, convention: ActionConvention) -> Float64[np.ndarray, "chunk_length action_dim"]:
    """The actions of an answer. The gripper's numbers stay as the server wrote them.

    Args:
        answer: A mapping with `actions`, an array (chunk_length, action_dim).
        convention: What the actions mean.

    Raises:
        ValueError: The answer has no actions, or they have another shape or are not finite.
    """
    if not isinstance(answer, Mapping) or "actions" not in answer:
        keys = sorted(map(str, answer)) if isinstance(answer, Mapping) else type(answer).__name__
        raise ValueError(
            f"expected an answer with 'actions' from the policy server, got {keys}. "
            "Make the server answer with a mapping whose 'actions' are an array (chunk_length, action_dim)."
        )
    try:
        actions = np.array(answer["actions"], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected numbers as actions from the policy server, got: {error}.") from error
    if actions.ndim == 3 and len(actions) == 1:
        actions = actions[0]
    actions = np.atleast_2d(actions)
    if actions.ndim != 2 or not len(actions) or actions.shape[1] not in convention.dims:
        numbers = " or ".join(str(dim) for dim in convention.dims)
        raise ValueError(
            f"expected actions of shape (chunk_length, {numbers}) for '{convention}' from the policy server, got "
            f"{np.shape(answer['actions'])}.{_shape_advice(actions)}"
        )
    return np.stack([with_euler_angles(require_finite_action(action, convention), convention) for action in actions])


def _shape_advice(actions: Float64[np.ndarray, "..."]) -> str:
    """What actions of another shape may be."""
    if actions.ndim == 2 and len(actions) and actions.shape[1] == ActionConvention.ABS_JOINTS.action_dim:
        return (
            " Eight numbers are joints, or a pose with a quaternion xyzw: add ',actions=rel_joints', "
            "',actions=abs_joints' or ',actions=abs_actions' to the policy spec."
        )
    if actions.ndim == 2 and len(actions) and actions.shape[1] > ActionConvention.ABS_JOINTS.action_dim:
        return " If the server pads its actions, remove the padding in the server."
    return ""
