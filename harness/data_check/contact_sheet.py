"""Draws a page of images of a data set: frames of some demonstrations, from first to last, from both cameras."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

import numpy as np
from matplotlib.figure import Figure

from calvinbench.policies.demonstrations.demonstrations import Annotation, DataError, Demonstrations

MAX_TASKS = 8
NUM_COLUMNS = 6
_CELL_IN = 1.0
_MAX_WORDS = 100


def draw_contact_sheet(data: Demonstrations, file: Path) -> int:
    """Draws one demonstration for each of some tasks. Demonstrations with unreadable frames are skipped.

    Args:
        data: The split.
        file: The PNG file to write.

    Returns:
        The number of drawn demonstrations. If it is 0, no file is written.
    """
    chosen = []
    keys = [f"rgb_{camera}" for camera in data.description.image_sizes]
    for annotation in _of_different_tasks(data.annotations):
        frames = np.linspace(annotation.start, annotation.end - 1, NUM_COLUMNS).round().astype(int).tolist()
        try:
            chosen.append((annotation, [data.read(annotation.episode, frame, frame + 1, keys) for frame in frames]))
        except DataError:
            continue
        if len(chosen) == MAX_TASKS:
            break
    if not chosen:
        return 0
    figure = Figure(figsize=(NUM_COLUMNS * _CELL_IN, len(chosen) * (2 * _CELL_IN + 0.3)), dpi=150, layout="constrained")
    for strip, (annotation, frames) in zip(figure.subfigures(len(chosen), 1, squeeze=False)[:, 0], chosen, strict=True):
        words = f"{annotation.task}: {annotation.instruction} ({annotation.num_frames} frames)"
        strip.suptitle(shorten(words, _MAX_WORDS), fontsize=7)
        for row, key in zip(strip.subplots(len(keys), NUM_COLUMNS, squeeze=False), keys, strict=True):
            for axes, frame in zip(row, frames, strict=True):
                axes.imshow(getattr(frame, key)[0])
                axes.axis("off")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format="png")
    return len(chosen)


def _of_different_tasks(annotations: Sequence[Annotation]) -> list[Annotation]:
    """First one demonstration of each task, tasks spread over all there are; then the others, where those fail."""
    first: dict[str, Annotation] = {}
    for annotation in annotations:
        first.setdefault(annotation.task, annotation)
    tasks = sorted(first)
    spread = np.linspace(0, len(tasks) - 1, min(MAX_TASKS, len(tasks))).round().astype(int).tolist() if tasks else []
    leading = [tasks[index] for index in dict.fromkeys(spread)]
    return [first[task] for task in [*leading, *(task for task in tasks if task not in leading)]]
