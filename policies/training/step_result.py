"""The result of one optimiser step, and the line of the log for several steps."""

from collections.abc import Sequence
from typing import NamedTuple

from calvinbench.policies.training.log import LogLine
from calvinbench.policies.training.saved_state import Progress


class StepResult(NamedTuple):
    """Losses and gradient of one optimiser step, over all processes.

    The gradient's norm is taken before clipping. It is None if it was not finite and the fp16 scaler skipped the step.
    """

    loss: float
    pose_loss: float
    gripper_loss: float
    gripper_accuracy: float
    gradient_norm: float | None
    learning_rate: float


def log_line(
    results: Sequence[StepResult], progress: Progress, steps_per_epoch: int, validation_loss: float | None
) -> LogLine:
    """Averages the steps since the previous line.

    Args:
        results: The steps.
        progress: The training's progress after them.
        steps_per_epoch: Optimiser steps in one pass over the data.
        validation_loss: The validation loss at this step; None if it was not computed.
    """
    loss, pose, gripper, accuracy = (sum(column) / len(results) for column in list(zip(*results, strict=True))[:4])
    norms = [result.gradient_norm for result in results if result.gradient_norm is not None]
    return LogLine(
        step=progress.step,
        epoch=progress.step / steps_per_epoch,
        windows=progress.windows,
        frames=progress.frames,
        seconds=progress.seconds,
        loss=loss,
        pose_loss=pose,
        gripper_loss=gripper,
        gripper_accuracy=accuracy,
        learning_rate=results[-1].learning_rate,
        gradient_norm=sum(norms) / len(norms) if norms else None,
        validation_loss=validation_loss,
        skipped_steps=len(results) - len(norms),
    )
