"""The meaning of the seven numbers of a predicted action, and the action that is executed."""

import torch
from jaxtyping import Float
from torch import Tensor

POSE_DIM = 6
"""Position (3) and euler angles (3), scaled into [-1, 1]."""
ACTION_DIM = POSE_DIM + 1
"""The pose, then the gripper. In a chunk the gripper's number is a logit, positive for open."""


def executed_actions(actions: Float[Tensor, "*batch 7"]) -> Float[Tensor, "*batch 7"]:
    """From a head's numbers to actions that a world accepts, with the same dtype.

    The pose is clipped to [-1, 1]. The gripper is +1 (open) if its logit is above 0, which is a probability above 0.5,
    otherwise -1 (close). NaN stays NaN, so that the world raises an error and no action is invented.
    """
    pose, logit = actions[..., :POSE_DIM], actions[..., POSE_DIM:]
    gripper = torch.where(logit > 0, 1.0, -1.0).to(actions.dtype)
    return torch.cat([pose.clamp(-1.0, 1.0), torch.where(logit.isnan(), logit, gripper)], dim=-1)
