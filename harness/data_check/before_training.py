"""Checks the data before a training makes anything slow, by the same code as `data check`."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from calvinbench.harness.data_check.annotations import annotation_problems
from calvinbench.harness.data_check.contents import action_problems, sample_actions
from calvinbench.harness.data_check.files import missing_frames
from calvinbench.policies.demonstrations.calvin_frames import FRAME_FILE
from calvinbench.policies.demonstrations.calvin_layout import CalvinLayout, num_digits, read_annotations
from calvinbench.policies.demonstrations.calvin_scenes import doubt_of_splits
from calvinbench.policies.demonstrations.demonstrations import DataError, Demonstrations
from calvinbench.policies.demonstrations.opening import TRAINING, VALIDATION

_NUM_SAMPLED = 200
"""Frames whose actions are checked."""


def require_trainable(
    training: Demonstrations,
    validation: Demonstrations | None,
    tasks: Sequence[str] = (),
    scenes: str | None = None,
) -> tuple[str, ...]:
    """Checks that every frame to train on has a file and every annotation has a sentence. It reads no image.

    Args:
        training: The training split.
        validation: The validation split, if it is used.
        tasks: Tasks to train on; empty for all.
        scenes: The scenes of the data as given by the user; None to read them from the data.

    Returns:
        Warnings about unusual actions and scenes.

    Raises:
        DataError: Training would fail later: frames are missing, sentences are empty, or actions are invalid labels.
    """
    warnings = []
    for data, split in ((training, TRAINING), (validation, VALIDATION)):
        if data is not None:
            _require_frames(data, split, tasks)
            fatal = [problem for problem in annotation_problems(data, split, tasks) if problem.is_fatal]
            if fatal:
                raise DataError(f"{split}: {' '.join(problem.words for problem in fatal)}")
    actions = sample_actions(training, _NUM_SAMPLED, tasks)
    strange = [f"{TRAINING}: {problem.words}" for problem in action_problems(actions)]
    if not np.isfinite(actions).all() or not np.isin(actions[:, -1], (-1.0, 1.0)).all():
        raise DataError(" ".join(strange))  # the loss raises an error for such labels
    warnings += strange
    if scenes is None:
        warnings += scene_warnings(training, validation)
    return tuple(warnings)


def scene_warnings(training: Demonstrations, validation: Demonstrations | None) -> list[str]:
    """Warnings about contradictory scenes of the data, and how to give the right ones."""
    doubts = list(training.scene_doubts) if isinstance(training, CalvinLayout) else []
    if validation is not None:
        between = doubt_of_splits(*(data.description.details.get("scene") for data in (training, validation)))
        doubts += [] if between is None else [between]
    known = training.description.details.get("scene")
    then = f"It is kept as {known}" if known else "So which scene it is, is not known"
    return [f"{doubt}. {then}; if that is wrong, say --data-scenes D, for example." for doubt in doubts]


def _require_frames(data: Demonstrations, split: str, tasks: Sequence[str]) -> None:
    """Checks the names in the split's folder, without opening files."""
    if not isinstance(data, CalvinLayout):
        return  # one file per episode, which was opened already
    folder = Path(data.description.path) / split
    with os.scandir(folder) as entries:
        matches = (FRAME_FILE.fullmatch(entry.name) for entry in entries)
        numbers = np.sort(np.array([int(match.group(1)) for match in matches if match], dtype=np.int64))
    stretches = tuple(stretch for stretch in read_annotations(folder) if not tasks or stretch.task in tasks)
    problem = missing_frames(folder, numbers, data.within_episodes(stretches), stretches, num_digits(folder))
    if problem is not None:
        raise DataError(f"{split}: {problem.words}")
