"""Where the checkpoints of a training are, and what they record about the training."""

from pathlib import Path
from typing import Any

from calvinbench.policies.training.preparation import Training
from calvinbench.policies.training.saved_state import Progress

CHECKPOINT_FOLDER, BEST_FOLDER = "checkpoint", "best"


def find_checkpoint(out: Path) -> Path:
    """The folder of the last checkpoint of a training.

    Args:
        out: The training's folder.
    """
    return out / CHECKPOINT_FOLDER


def checkpoint_notes(training: Training, progress: Progress, validation_loss: float | None) -> dict[str, Any]:
    """The notes of a checkpoint: data, progress and recipe of the training.

    Args:
        training: The training.
        progress: Its progress at the checkpoint.
        validation_loss: The validation loss of the checkpoint; None if it was not computed.
    """
    return training.notes | {
        "training": {
            "step": progress.step,
            "windows": progress.windows,
            "frames": progress.frames,
            "seconds": round(progress.seconds),
            "effective_batch_size": training.plan.effective_batch_size,
            "validation_loss": validation_loss,
            "seed": training.settings.optimization.seed,
            "recipe": training.recipe(progress.step),
            **training.changes(),
        }
    }
