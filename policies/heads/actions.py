"""What the seven numbers of a predicted action mean, and what of it a world is given."""

import torch
from jaxtyping import Float
from torch import Tensor

POSE_DIM = 6
"""Position (3) and euler angles (3), scaled into [-1, 1]."""
ACTION_DIM = POSE_DIM + 1
"""The pose, and last the gripper: in a chunk its logit, positive for open."""


def executed_actions(actions: Float[Tensor, "*batch 7"]) -> Float[Tensor, "*batch 7"]:
    """From a head's numbers to actions that a world takes; the kind of float stays as it is.

    The pose is clipped to [-1, 1]. The gripper is +1 (open) where its logit is above 0, so where its probability is
    above one half, else -1 (close). NaN stays NaN everywhere, so that a world refuses it: no action is invented.
    """
    pose, logit = actions[..., :POSE_DIM], actions[..., POSE_DIM:]
    gripper = torch.where(logit > 0, 1.0, -1.0).to(actions.dtype)
    return torch.cat([pose.clamp(-1.0, 1.0), torch.where(logit.isnan(), logit, gripper)], dim=-1)
