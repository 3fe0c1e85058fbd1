"""What training goes on from after a kill: weights, optimiser, schedule, random state and the step.

It is there whole or not at all. The data's order is a function of the step (`data_loader`): nothing of it is kept.
"""

import json
import logging
import pickle
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import RNG_STATE_NAME
from safetensors import SafetensorError

from calvinbench.envs.system.atomic_write import move_into_place

STATE_FOLDER = "state"
_PROGRESS_FILE = "progress.json"
_UNREADABLE = (
    *(OSError, ValueError, TypeError, KeyError, RuntimeError, EOFError),
    *(SafetensorError, pickle.UnpicklingError),
)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far training has come.

    Attributes:
        step: Optimiser steps done.
        windows: Windows seen.
        frames: Frames seen.
        seconds: Of training, all sittings together.
        best_validation_loss: The lowest so far; None for none.
    """

    step: int = 0
    windows: int = 0
    frames: int = 0
    seconds: float = 0.0
    best_validation_loss: float | None = None


def save_state(accelerator: Accelerator, folder: Path, progress: Progress) -> None:
    """Saves the state of what `accelerator` prepared; called on every process.

    It is written beside the last one, which is removed when the new one is whole.

    Args:
        accelerator: Of the training.
        folder: That of the training.
        progress: How far it has come.
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
    """Steps that are done in the last state of a training's folder; None where there is no state."""
    states = sorted((folder / STATE_FOLDER).glob("step_*"))
    return int(states[-1].name.removeprefix("step_")) if states else None


def load_state(accelerator: Accelerator, folder: Path) -> Progress:
    """Loads the last state into what `accelerator` prepared; nothing where there is none.

    Raises:
        ValueError: There is a state, and it cannot be read.
    """
    states = sorted((folder / STATE_FOLDER).glob("step_*"))
    if not states:
        return Progress()
    try:
        progress = Progress(**json.loads((states[-1] / _PROGRESS_FILE).read_text("utf-8")))
        accelerator.load_state(str(states[-1]))
    except _UNREADABLE as error:
        raise ValueError(
            f"expected a whole state of training in '{states[-1]}', but: {type(error).__name__}: {error}. "
            "Remove that folder to begin anew, or choose another --out."
        ) from error
    # accelerate passes over a random state that is not there.
    if not (states[-1] / f"{RNG_STATE_NAME}_{accelerator.process_index}.pkl").exists():
        _logger.warning("process %d has no random state to go on from: its dropout is new.", accelerator.process_index)
    return progress
