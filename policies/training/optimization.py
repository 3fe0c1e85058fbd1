"""Settings of the optimisation: learning rates, precision, batches, schedule. This module does not import torch."""

import math
from dataclasses import dataclass

from calvinbench.envs.names import require_name

PRECISIONS = ("fp32", "bf16", "fp16")
SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True, slots=True)
class OptimizationSettings:
    """Settings of the optimiser (AdamW), the batches and the loss. The defaults are the seed's.

    Where the seed says nothing, the defaults are those with which RoboVLMs fine-tunes on CALVIN.

    Attributes:
        learning_rate: The rate after warm-up.
        backbone_learning_rate: The rate of the VLM's weights; None for the same as for [LRN] and head.
        weight_decay: AdamW's weight decay.
        precision: Mixed precision: `"fp32"` for none, `"bf16"`, or `"fp16"` with a scaled loss. Trained weights stay in
            32 bits.
        batch_size: Windows of a forward pass.
        gradient_accumulation_steps: Forward passes of a step.
        warmup_epochs: Share of an epoch in which the rate rises from 0. The first step of a warm-up has rate 0.
        warmup_steps: Warm-up steps, added to those of `warmup_epochs`.
        schedule: The learning rate after warm-up: `"constant"`, or `"cosine"` down to `min_learning_rate_scale`.
        min_learning_rate_scale: The rate at the end of a cosine, as a fraction of `learning_rate`.
        max_gradient_norm: The norm that gradients are clipped to; None for no clipping.
        max_epochs: Passes over the data.
        max_steps: Largest number of steps; None for no limit.
        gripper_loss_ratio: Weight of the gripper's loss (`losses.chunk_loss`).
        gripper_change_weight: Factor of the gripper's loss at actions at which the gripper's label changes.
        window_size: Frames of a training window.
        window_stride: Frames between the starts of windows (`demonstrations.windows.WindowSettings.stride`). It
            determines how many windows an epoch has. None means as many as cover the data once.
        static_shift: Largest random shift of the static camera's images, in pixels.
        gripper_shift: The same for the gripper camera.
        same_shift_in_window: Whether all frames of a window are shifted alike.
        num_workers: Processes that load data.
        seed: Random seed.

    Raises:
        UnknownNameError: There is no such precision or schedule.
        ValueError: A number is out of its range.
    """

    learning_rate: float = 2e-5
    backbone_learning_rate: float | None = None
    weight_decay: float = 0.0
    precision: str = "fp16"
    batch_size: int = 8
    gradient_accumulation_steps: int = 4
    warmup_epochs: float = 0.25
    warmup_steps: int = 0
    schedule: str = "constant"
    min_learning_rate_scale: float = 0.0
    max_gradient_norm: float | None = None
    max_epochs: int = 5
    max_steps: int | None = None
    gripper_loss_ratio: float = 0.01
    gripper_change_weight: float = 1.0
    window_size: int = 8
    window_stride: int | None = None
    static_shift: int = 10
    gripper_shift: int = 4
    same_shift_in_window: bool = True
    num_workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        require_name(self.precision, PRECISIONS, "precision")
        require_name(self.schedule, SCHEDULES, "schedule")
        self._require_counts()
        self._require_rates()

    def _require_counts(self) -> None:
        for name in ("batch_size", "gradient_accumulation_steps", "max_epochs", "window_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}.")
        for name in ("max_steps", "window_stride"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"expected {name} of at least 1, got {number}. Leave it out for the default.")
        not_negative = ("weight_decay", "warmup_epochs", "warmup_steps", "gripper_loss_ratio", "static_shift")
        for name in (*not_negative, "gripper_shift", "num_workers", "seed"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"expected {name} of at least 0, got {getattr(self, name)}.")

    def _require_rates(self) -> None:
        if not self.gripper_change_weight > 0:
            raise ValueError(f"expected gripper_change_weight above 0, got {self.gripper_change_weight}.")
        if self.backbone_learning_rate is not None and not 0 < self.backbone_learning_rate < math.inf:
            raise ValueError(
                f"expected backbone_learning_rate above 0 and finite, got {self.backbone_learning_rate}. Leave it out "
                "to train the backbone at learning_rate."
            )
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"expected a learning_rate above 0 and finite, got {self.learning_rate}.")
        if not 0 <= self.min_learning_rate_scale <= 1:
            raise ValueError(f"expected min_learning_rate_scale from 0 to 1, got {self.min_learning_rate_scale}.")
        if self.max_gradient_norm is not None and not self.max_gradient_norm > 0:
            raise ValueError(
                f"expected max_gradient_norm above 0, got {self.max_gradient_norm}. Leave it out for no clipping."
            )

    @property
    def effective_batch_size(self) -> int:
        """Windows of a step."""
        return self.batch_size * self.gradient_accumulation_steps
