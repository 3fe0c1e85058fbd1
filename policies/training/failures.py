"""What ends a training early, told in words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_NO_MEMORY = re.compile("can't allocate memory|not enough memory|out of memory|bad_alloc", re.IGNORECASE)


class TrainingError(RuntimeError):
    """Training cannot go on; the message says what to change."""


class OutOfMemoryError(TrainingError):
    """The model and its activations do not fit into the device's memory."""


class NotFiniteError(TrainingError):
    """A loss or a gradient is NaN or infinite; the batch was kept."""


@contextmanager
def memory_told_in_words(
    batch_size: int, accumulation_steps: int, *, checkpoints: bool, adapts: bool
) -> Iterator[None]:
    """Turns torch's out-of-memory errors into a suggestion.

    Args:
        batch_size: Windows of a forward pass.
        accumulation_steps: Forward passes of a step.
        checkpoints: Whether layers are recomputed already.
        adapts: Whether the VLM is trained by adapters already.

    Raises:
        OutOfMemoryError: Memory ran out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        advice = []
        if batch_size > 1:
            advice.append(
                f"--batch-size {batch_size // 2} --gradient-accumulation-steps {accumulation_steps * 2} (the same "
                "effective batch)"
            )
        if not checkpoints:
            advice.append("--gradient-checkpointing")
        if not adapts:
            advice.append("--lora-enable")
        ways = "; or ".join(advice) or "a smaller backbone, or a device with more memory"
        raise OutOfMemoryError(
            f"expected the model, its gradients and the activations of {batch_size} windows to fit into memory, but: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}. Try {ways}. What was saved goes on "
            "by the same command."
        ) from error
