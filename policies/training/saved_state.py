"""The state from which a training resumes: weights, optimiser, schedule, random state and step.

A state is saved completely or not at all. The order of the data depends only on the step (`data_loader`), so it is not
saved.
"""

import json
import logging
import pickle
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import RNG_STATE_NAME
from safetensors import SafetensorError

from calvinbench.envs.system.atomic_write import move_into_place
from calvinbench.policies.training.preparation import Training

CHECKPOINT_FOLDER, BEST_FOLDER = "checkpoint", "best"
STATE_FOLDER = "state"
_PROGRESS_FILE = "progress.json"
_UNREADABLE = (
    *(OSError, ValueError, TypeError, KeyError, RuntimeError, EOFError),
    *(SafetensorError, pickle.UnpicklingError),
)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a training.

    Attributes:
        step: Finished optimiser steps.
        windows: Windows seen.
        frames: Frames seen.
        seconds: Training time over all sessions.
        best_validation_loss: The lowest validation loss so far; None if none was computed.
    """

    step: int = 0
    windows: int = 0
    frames: int = 0
    seconds: float = 0.0
    best_validation_loss: float | None = None


def save_state(accelerator: Accelerator, folder: Path, progress: Progress) -> None:
    """Saves the state of the objects that `accelerator` prepared. Every process must call it.

    The new state is written beside the previous one, which is removed afterwards.

    Args:
        accelerator: The training's accelerator.
        folder: The training's folder.
        progress: The training's progress.
    """
    states = folder / STATE_FOLDER
    beside = states / "writing"
    if accelerator.is_main_process:
        shutil.rmtree(beside, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(beside))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (beside / _PROGRESS_FILE).write_text(json.dumps(asdict(progress)) + "\n", "utf-8")
        place = states / f"step_{progress.step:08d}"
        shutil.rmtree(place, ignore_errors=True)
        move_into_place(beside, place)
        for older in states.glob("step_*"):
            if older != place:
                shutil.rmtree(older, ignore_errors=True)
    accelerator.wait_for_everyone()


def last_step(folder: Path) -> int | None:
    """Finished steps of the last saved state in a training's folder; None without a state."""
    states = sorted((folder / STATE_FOLDER).glob("step_*"))
    return int(states[-1].name.removeprefix("step_")) if states else None


def load_state(accelerator: Accelerator, folder: Path) -> Progress:
    """Loads the last state into the objects that `accelerator` prepared, if there is a state.

    Raises:
        ValueError: The state cannot be read.
    """
    states = sorted((folder / STATE_FOLDER).glob("step_*"))
    if not states:
        return Progress()
    try:
        progress = Progress(**json.loads((states[-1] / _PROGRESS_FILE).read_text("utf-8")))
        accelerator.load_state(str(states[-1]))
    except _UNREADABLE as error:
        raise ValueError(
            f"expected a complete saved state in '{states[-1]}', but: {type(error).__name__}: {error}. "
            "Remove that folder to start again, or choose another --out."
        ) from error
    # accelerate ignores a missing random state
    if not (states[-1] / f"{RNG_STATE_NAME}_{accelerator.process_index}.pkl").exists():
        _logger.warning(
            "process %d has no saved random state: its dropout differs from an unbroken training's.",
            accelerator.process_index,
        )
    return progress


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


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Restores the global random states at the end of the context, so that draws within it do not affect training."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
