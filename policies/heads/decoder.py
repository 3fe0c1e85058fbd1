"""From a head's hidden numbers to an action chunk."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from calvinbench.policies.heads.actions import ACTION_DIM, POSE_DIM
from calvinbench.policies.heads.config import HeadConfig


class LinearDecoder(nn.Module):
    """One linear layer to all numbers of a chunk, with torch's default initial weights."""

    def __init__(self, config: HeadConfig) -> None:
        """Makes the layer."""
        super().__init__()
        self.config = config
        self.linear = nn.Linear(config.hidden_dim, config.chunk_length * ACTION_DIM)

    def forward(self, hidden: Float[Tensor, "*batch hidden_dim"]) -> Float[Tensor, "*batch chunk_length 7"]:
        """Pose and gripper's logit of each action."""
        chunks = self.linear(hidden).unflatten(-1, (self.config.chunk_length, ACTION_DIM))
        pose, gripper = chunks[..., :POSE_DIM], chunks[..., POSE_DIM:]
        return torch.cat([_bounded(pose, self.config), gripper], dim=-1)


class MLPDecoder(nn.Module):
    """Two branches of linear layers with ReLU, one for the pose and one for the gripper, as in RoboVLMs.

    Its initial weights are also RoboVLMs': Xavier-uniform, with biases at zero.
    """

    def __init__(self, config: HeadConfig) -> None:
        """Makes both branches."""
        super().__init__()
        self.config = config
        self.pose = _branch([config.hidden_dim, *config.mlp_widths, config.chunk_length * POSE_DIM])
        self.gripper = _branch([config.hidden_dim, *config.mlp_widths, config.chunk_length])

    def forward(self, hidden: Float[Tensor, "*batch hidden_dim"]) -> Float[Tensor, "*batch chunk_length 7"]:
        """Pose and gripper's logit of each action."""
        pose = self.pose(hidden).unflatten(-1, (self.config.chunk_length, POSE_DIM))
        return torch.cat([_bounded(pose, self.config), self.gripper(hidden)[..., None]], dim=-1)


def make_decoder(config: HeadConfig) -> LinearDecoder | MLPDecoder:
    """The decoder that the settings name."""
    return MLPDecoder(config) if config.decoder == "mlp" else LinearDecoder(config)


def _bounded(pose: Tensor, config: HeadConfig) -> Tensor:
    """The pose after its activation."""
    return pose.tanh() if config.pose_activation == "tanh" else pose


def _branch(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers at the places 0, 2, 4, ... of the sequence, with ReLU between them."""
    layers: list[nn.Module] = []
    for width, next_width in pairwise(widths):
        linear = nn.Linear(width, next_width)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
