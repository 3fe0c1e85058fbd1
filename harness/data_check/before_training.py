"""What a training needs of its data, looked at before anything slow is made: by the same code as `data check`."""

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
"""Frames whose actions are looked at."""


def require_trainable(
    training: Demonstrations,
    validation: Demonstrations | None,
    tasks: Sequence[str] = (),
    scenes: str | None = None,
) -> tuple[str, ...]:
    """Sees that every frame to train on has its file and every annotation its sentence. No image is read.

    Args:
        training: The training split.
        validation: The validation split, if it is used.
        tasks: Tasks to train on; empty for all.
        scenes: The scenes that the user says the data are of; None for what the data say.

    Returns:
        Warnings in words: what is strange about actions and scenes.

    Raises:
        DataError: Training would fail on the way: frames are missing, sentences are empty, or actions are no labels.
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
        raise DataError(" ".join(strange))  # the loss takes no such labels
    warnings += strange
    if scenes is None:
        warnings += scene_warnings(training, validation)
    return tuple(warnings)


def scene_warnings(training: Demonstrations, validation: Demonstrations | None) -> list[str]:
    """What is strange about the scenes of the data, and how to say which they are."""
    doubts = list(training.scene_doubts) if isinstance(training, CalvinLayout) else []
    if validation is not None:
        between = doubt_of_splits(*(data.description.details.get("scene") for data in (training, validation)))
        doubts += [] if between is None else [between]
    known = training.description.details.get("scene")
    then = f"It is kept as {known}" if known else "So which scene it is, is not known"
    return [f"{doubt}. {then}; if that is wrong, say --data-scenes D, for example." for doubt in doubts]


def _require_frames(data: Demonstrations, split: str, tasks: Sequence[str]) -> None:
    """By names in the split's folder alone."""
    if not isinstance(data, CalvinLayout):
        return  # an episode is one file, and was opened
    folder = Path(data.description.path) / split
    with os.scandir(folder) as entries:
        matches = (FRAME_FILE.fullmatch(entry.name) for entry in entries)
        numbers = np.sort(np.array([int(match.group(1)) for match in matches if match], dtype=np.int64))
    stretches = tuple(stretch for stretch in read_annotations(folder) if not tasks or stretch.task in tasks)
    problem = missing_frames(folder, numbers, data.within_episodes(stretches), stretches, num_digits(folder))
    if problem is not None:
        raise DataError(f"{split}: {problem.words}")
