"""Windows as tensors, and as the labels of the loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.demonstrations.windows import Window
from calvinbench.policies.heads.actions import POSE_DIM
from calvinbench.policies.learned.pose_range import PoseRange
from calvinbench.policies.training.losses import ChunkLabels


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """B windows of T frames.

    Attributes:
        images: Images of all cameras.
        instructions: The sentence of each window.
        tasks: The task of each window.
        robot_obs: State of the robot; None if the policy does not use it.
        actions: The chunk of actions that begins at each frame.
        is_valid: True where an action belongs to the window's annotation.
        is_frame: True where there is a frame; False for padding.
        changes_gripper: True where the gripper's label changes.
    """

    images: CameraImages
    instructions: tuple[str, ...]
    tasks: tuple[str, ...]
    robot_obs: Float[Tensor, "B T 15"] | None
    actions: Float[Tensor, "B T K 7"]
    is_valid: Bool[Tensor, "B T K"]
    is_frame: Bool[Tensor, "B T"]
    changes_gripper: Bool[Tensor, "B T K"]

    @property
    def num_valid(self) -> int:
        """Number of valid actions in all chunks."""
        return int(self.is_valid.sum())

    @property
    def num_frames(self) -> int:
        """Number of frames, without padding."""
        return int(self.is_frame.sum())

    def to(self, device: torch.device) -> "WindowBatch":
        """The same batch on a device."""
        return WindowBatch(
            self.images.to(device),
            self.instructions,
            self.tasks,
            None if self.robot_obs is None else self.robot_obs.to(device),
            self.actions.to(device),
            self.is_valid.to(device),
            self.is_frame.to(device),
            self.changes_gripper.to(device),
        )

    def labels(self, pose_range: PoseRange, gripper_change_weight: float = 1.0) -> ChunkLabels:
        """The labels of the loss.

        Args:
            pose_range: The actions for the pose outputs -1 and 1; actions beyond them are clipped.
            gripper_change_weight: Weight of the gripper's loss where its label changes; 1 elsewhere.
        """
        pose = pose_range.to_output(self.actions[..., :POSE_DIM])
        weight = None
        if gripper_change_weight != 1.0:
            weight = torch.where(self.changes_gripper, gripper_change_weight, 1.0)
        return ChunkLabels(pose, self.actions[..., POSE_DIM], self.is_valid, weight)


def collate_windows(windows: Sequence[Window]) -> WindowBatch:
    """Stacks windows of the same length."""
    images = {camera: _stack([w.images[camera] for w in windows]) for camera in windows[0].images}
    robot_obs = [w.robot_obs for w in windows]
    return WindowBatch(
        images=CameraImages(**images),
        instructions=tuple(w.instruction for w in windows),
        tasks=tuple(w.task for w in windows),
        robot_obs=None if robot_obs[0] is None else _stack([states for states in robot_obs if states is not None]),
        actions=_stack([w.actions for w in windows]),
        is_valid=_stack([w.is_valid for w in windows]),
        is_frame=_stack([w.is_frame for w in windows]),
        changes_gripper=_stack([w.changes_gripper for w in windows]),
    )


def _stack(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))
