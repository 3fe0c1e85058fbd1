"""The robot's state as the head may be told it, beside what the VLM saw. A setting; without it nothing is read."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

NUMBERS_READ = 11
_CENTRE = (0.05, -0.1, 0.5)
_REACH = (0.25, 0.15, 0.1)
"""Where the tool mostly is over the play table, and how far from there, metres: what is read is about -2..2 then."""
_HALF_OPEN_M = 0.04


class RobotEncoder(nn.Module):
    """From `robot_obs` to numbers that are added to the fused [LRN] feature.

    Read are the tool's position, sine and cosine of its euler angles (they wrap), the gripper's width and its last
    action; joints are not.
    """

    def __init__(self, width: int) -> None:
        """Makes the layers.

        Args:
            width: Of the fused feature.
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
