"""Errors that end a training early, with advice."""

import json
import re
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from calvinbench.policies.learned.trainable import checkpointing_saves_memory
from calvinbench.policies.learned.vlm_lstm import VLMLSTM
from calvinbench.policies.training.batches import WindowBatch
from calvinbench.policies.training.settings import TrainingSettings

BAD_BATCH_FOLDER = "bad_batch"
_NO_MEMORY = re.compile("can't allocate memory|not enough memory|out of memory|bad_alloc|ALLOC_FAILED", re.IGNORECASE)


class TrainingError(RuntimeError):
    """Training cannot continue. The message says what to change."""


class OutOfMemoryError(TrainingError):
    """The model and its activations do not fit into the device's memory."""


class NotFiniteError(TrainingError):
    """A loss or a gradient is NaN or infinite. The batch was saved."""


@contextmanager
def explaining_out_of_memory(settings: TrainingSettings, model: VLMLSTM) -> Iterator[None]:
    """Turns torch's out-of-memory errors into errors with advice. Other errors are not changed.

    Args:
        settings: The training's settings.
        model: The trained model. Only flags that save memory for it are advised.

    Raises:
        OutOfMemoryError: Memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        ways = "; or ".join(_advice(settings, model, error)) or "a smaller backbone, or a device with more memory"
        raise OutOfMemoryError(
            "expected the model, its gradients and the activations of "
            f"{settings.optimization.batch_size} windows to fit into memory, but: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}. Try {ways}. A saved "
            "training can be resumed with a smaller micro-batch or with checkpointing; adapters need a new training."
        ) from error


def _advice(settings: TrainingSettings, model: VLMLSTM, error: BaseException) -> list[str]:
    """Flags that would save memory and are not set yet."""
    optimization, trainable = settings.optimization, settings.trainable
    size, accumulated = optimization.batch_size, optimization.gradient_accumulation_steps
    advice = []
    if size > 1:
        parts = next(number for number in range(2, size + 1) if size % number == 0)
        advice.append(
            f"--batch-size {size // parts} --gradient-accumulation-steps {accumulated * parts} (the same effective "
            "batch)"
        )
    can_save = checkpointing_saves_memory(model) and not _is_of_frozen_vision(error, model)
    if not trainable.gradient_checkpointing and can_save:
        advice.append("--gradient-checkpointing true")
    if not trainable.lora_enable and not trainable.freeze_backbone:
        advice.append("--lora-enable true")
    return advice


def _is_of_frozen_vision(error: BaseException, model: VLMLSTM) -> bool:
    """Whether memory ran out in the forward pass of a vision tower without gradients.

    It comes first and keeps nothing, so that computing layers again would save nothing there. In a small model with
    frozen vision the peak lies there.
    """
    if any(parameter.requires_grad for module in model.backbone.parts.vision for parameter in module.parameters()):
        return False
    functions = [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
    return "vision_tokens" in functions


def keep_batches(folder: Path, batches: Sequence[WindowBatch], process: int) -> None:
    """Saves the batches of a failed step for inspection.

    Args:
        folder: The folder to write to; it is created.
        batches: The step's micro-batches on this process.
        process: The index of this process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, batch in enumerate(batches):
        tensors: dict[str, Tensor | None] = {
            "rgb_static": batch.images.static,
            "rgb_gripper": batch.images.gripper,
            "robot_obs": batch.robot_obs,
            "actions": batch.actions,
            "is_valid": batch.is_valid,
            "is_frame": batch.is_frame,
        }
        words = {"instructions": json.dumps(batch.instructions), "tasks": json.dumps(batch.tasks)}
        save_file(
            {key: tensor.cpu().contiguous() for key, tensor in tensors.items() if tensor is not None},
            folder / f"process_{process}_micro_{number}.safetensors",
            words,
        )
