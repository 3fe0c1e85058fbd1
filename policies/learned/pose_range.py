"""The scaling of poses between a model's outputs and actions, and back."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PoseRange:
    """What the pose outputs -1 and 1 stand for, in numbers of the action (`norm_min`, `norm_max` of RoboVLMs).

    The gripper is not scaled.

    Attributes:
        low: What -1 stands for.
        high: What 1 stands for.

    Raises:
        ValueError: `low` is not below `high`, or one of them is not finite.
    """

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"expected a range of the pose with low below high, got {self.low} and {self.high}.")

    def to_action(self, outputs: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 6"]:
        """Poses in numbers of the action, from a model's outputs in [-1, 1]."""
        return self.low + (outputs + 1) / 2 * (self.high - self.low)

    def to_output(self, poses: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 6"]:
        """The outputs in [-1, 1] that stand for poses in numbers of the action. Poses outside the range are clipped."""
        return (poses.clamp(self.low, self.high) - self.low) / (self.high - self.low) * 2 - 1
