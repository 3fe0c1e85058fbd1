"""Proprioception: the robot's state as a further input of the head. Only used if a setting says so."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

NUMBERS_READ = 11
_CENTRE = (0.05, -0.1, 0.5)
_REACH = (0.25, 0.15, 0.1)
"""Usual position of the tool over the play table and its spread, in metres, which scale the input to about -2..2."""
_HALF_OPEN_M = 0.04


class RobotEncoder(nn.Module):
    """From `robot_obs` to numbers that are added to the fused [LRN] feature.

    It reads the tool's position, sine and cosine of its euler angles (because angles wrap), the gripper's width and its
    last action. It does not read the joints.
    """

    def __init__(self, width: int) -> None:
        """Makes the layers.

        Args:
            width: Width of the fused feature.
        """
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(NUMBERS_READ, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, robot_obs: Float[Tensor, "*batch 15"]) -> Float[Tensor, "*batch width"]:
        """The encoded state."""
        position, euler, rest = robot_obs[..., :3], robot_obs[..., 3:6], robot_obs[..., 6:]
        numbers = torch.cat(
            [
                (position - position.new_tensor(_CENTRE)) / position.new_tensor(_REACH),
                euler.sin(),
                euler.cos(),
                rest[..., :1] / _HALF_OPEN_M - 1,
                rest[..., -1:],
            ],
            dim=-1,
        )
        encoded: Tensor = self.layers(numbers.to(next(self.parameters()).dtype))
        return encoded
