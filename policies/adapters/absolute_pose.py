"""Absolute actions with a quaternion, converted to euler angles."""

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from calvinbench.envs.observation import ActionConvention

_SHORTEST = 1e-6


def with_euler_angles(
    action: Float64[np.ndarray, " n"], convention: ActionConvention = ActionConvention.ABS_ACTIONS
) -> Float64[np.ndarray, " m"]:
    """The absolute action as 7 numbers: xyz, euler xyz, gripper.

    Args:
        action: 8 numbers: xyz, a quaternion in the order x, y, z, w (as in PyBullet and calvin_env) and gripper. The
            quaternion is normalised. An action of another size or convention is returned unchanged.
        convention: What the numbers mean.

    Raises:
        ValueError: The quaternion is not finite, or its length is 0.
    """
    if convention is not ActionConvention.ABS_ACTIONS or action.shape != (8,):
        return action
    quaternion = action[3:7]
    if not np.isfinite(action).all() or np.linalg.norm(quaternion) < _SHORTEST:
        raise ValueError(
            f"expected a quaternion xyzw of length 1 in an absolute action, got {quaternion.tolist()}. "
            "Return 8 numbers: position (3), quaternion in the order x, y, z, w, gripper."
        )
    return np.concatenate([action[:3], Rotation.from_quat(quaternion).as_euler("xyz"), action[7:]])
