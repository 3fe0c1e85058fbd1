"""The loss of a head's chunks: Huber on the pose, binary cross-entropy on the gripper, as RoboVLMs trains."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from calvinbench.policies.heads.actions import POSE_DIM

HUBER_DELTA = 1.0
"""The error at which the pose's loss changes from quadratic to linear."""
GRIPPER_RATIO = 0.01
"""Weight of the gripper's loss (`arm_gripper_loss_ratio` of RoboVLMs)."""


@dataclass(frozen=True, slots=True)
class ChunkLabels:
    """The labels of the chunk at each step of a window.

    Attributes:
        pose: Scaled into [-1, 1].
        gripper: +1 open, -1 close, as in every action of this project; RoboVLMs' 0 and 1 raise an error.
        valid: False where a chunk extends beyond its annotation; labels there are ignored.
        gripper_weight: Weight of each action in the gripper's loss; None for 1 everywhere.

    Raises:
        ValueError: No action is valid, the shapes differ, or a valid gripper label is neither +1 nor -1.
    """

    pose: Float[Tensor, "B T chunk_length 6"]
    gripper: Float[Tensor, "B T chunk_length"]
    valid: Bool[Tensor, "B T chunk_length"]
    gripper_weight: Float[Tensor, "B T chunk_length"] | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.valid.shape)
        if tuple(self.pose.shape) != (*shape, POSE_DIM) or tuple(self.gripper.shape) != shape:
            raise ValueError(
                f"expected pose {(*shape, POSE_DIM)} and gripper {shape} as valid is {shape}, "
                f"got {tuple(self.pose.shape)} and {tuple(self.gripper.shape)}."
            )
        if not self.valid.any():
            raise ValueError("expected at least one valid action in a batch, got none. Leave such a batch out.")
        grippers = self.gripper[self.valid]
        wrong = grippers[grippers.abs() != 1.0]
        if len(wrong):
            raise ValueError(
                f"expected gripper labels of +1 (open) or -1 (close), got {float(wrong[0]):g}. "
                "From labels of 0 and 1 take 2 x label - 1."
            )


class ChunkLoss(NamedTuple):
    """The loss and its parts, each a single number.

    Attributes:
        total: `pose` + ratio x `gripper`, the loss to minimise.
        pose: Mean over all pose numbers of valid actions.
        gripper: Mean over valid actions.
        gripper_accuracy: Share of valid actions with the right gripper command; without gradient.
    """

    total: Float[Tensor, ""]
    pose: Float[Tensor, ""]
    gripper: Float[Tensor, ""]
    gripper_accuracy: Float[Tensor, ""]


def chunk_loss(
    chunks: Float[Tensor, "B T chunk_length 7"],
    labels: ChunkLabels,
    gripper_ratio: float = GRIPPER_RATIO,
    num_valid: float | None = None,
) -> ChunkLoss:
    """The loss of predicted chunks, computed in float32 or higher whatever the model's precision.

    Args:
        chunks: Pose and the gripper's logit, as heads return them.
        labels: The labels, on the same device.
        gripper_ratio: Weight of the gripper's loss.
        num_valid: The divisor of sums over valid actions; None for their number. With the number of a whole large
            batch, the losses of its parts add up to the batch's loss.

    Raises:
        ValueError: The ratio is below 0, or chunks and labels are of different shapes.
    """
    if not gripper_ratio >= 0.0:
        raise ValueError(f"expected gripper_ratio of at least 0, got {gripper_ratio}.")
    if chunks.shape[:-1] != labels.valid.shape:
        raise ValueError(
            f"expected labels of the chunks' shape {tuple(chunks.shape[:-1])}, got {tuple(labels.valid.shape)}."
        )
    predicted = chunks[labels.valid]  # (num_valid, 7)
    predicted = predicted.to(torch.promote_types(predicted.dtype, torch.float32))
    pose_label = labels.pose[labels.valid].to(predicted.dtype)
    open_label = (labels.gripper[labels.valid] > 0).to(predicted.dtype)
    logit = predicted[:, POSE_DIM]
    count = len(predicted) if num_valid is None else num_valid
    pose = functional.huber_loss(predicted[:, :POSE_DIM], pose_label, delta=HUBER_DELTA, reduction="sum")
    pose = pose / (count * POSE_DIM)
    weight = None if labels.gripper_weight is None else labels.gripper_weight[labels.valid].to(predicted.dtype)
    gripper = functional.binary_cross_entropy_with_logits(logit, open_label, weight=weight, reduction="sum") / count
    accuracy = ((logit > 0) == (open_label > 0)).to(predicted.dtype).mean()
    return ChunkLoss(pose + gripper_ratio * gripper, pose, gripper, accuracy)
