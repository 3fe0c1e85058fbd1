"""Checks the annotations of a split: sentences, tasks and ranges of frames."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from calvinbench.harness.data_check.files import Problem
from calvinbench.policies.demonstrations.calvin_layout import AnnotatedStretch, annotation_files, read_annotations
from calvinbench.policies.demonstrations.demonstrations import Annotation, Demonstrations
from calvinbench.policies.demonstrations.opening import SPLITS

_NUM_NAMED = 3
"""Annotations that a message lists."""


class _Place(NamedTuple):
    """An annotation, and a description of where it is."""

    words: str
    first: int
    last: int
    task: str
    instruction: str


def annotation_problems(data: Demonstrations, split: str, tasks: Sequence[str] = ()) -> list[Problem]:
    """Problems of the annotations of a split.

    Args:
        data: The split.
        split: Its name.
        tasks: Check only these tasks; empty for all.
    """
    folder = Path(data.description.path) / split
    files = annotation_files(folder) if data.description.form == "calvin" and split in SPLITS else []
    found = _of_stretches(files[0], read_annotations(folder)) if files else _of_annotations(data.annotations)
    places = [place for place in found if not tasks or place.task in tasks]
    return [
        *_named([place for place in places if not place.instruction.strip()], "with an empty sentence", is_fatal=True),
        *_named([place for place in places if not place.task.strip()], "with an empty task name", is_fatal=True),
        *_named(
            [p for p in places if p.last < p.first], "with the last frame before the first (left out)", is_fatal=False
        ),
        *_named(_repeated(places), "that repeat an earlier one (counted twice)", is_fatal=False),
    ]


def _of_stretches(file: Path, stretches: Sequence[AnnotatedStretch]) -> list[_Place]:
    return [
        _Place(f"number {index} (frames {s.first} to {s.last}) of '{file}'", s.first, s.last, s.task, s.instruction)
        for index, s in enumerate(stretches)
    ]


def _of_annotations(annotations: Sequence[Annotation]) -> list[_Place]:
    """Annotations in other formats. Only the description distinguishes frames of different episodes."""
    return [
        _Place(f"frames {a.start} to {a.end - 1} of episode {a.episode}", a.start, a.end - 1, a.task, a.instruction)
        for a in annotations
    ]


def _repeated(places: Sequence[_Place]) -> list[_Place]:
    """Annotations that repeat an earlier one."""
    keys = [(p.first, p.last, p.task, p.instruction, p.words if p.words.startswith("frames") else "") for p in places]
    counts, repeated = Counter(keys), []
    seen: set[tuple[int, int, str, str, str]] = set()
    for key, place in zip(keys, places, strict=True):
        if counts[key] > 1 and key in seen:
            repeated.append(place)
        seen.add(key)
    return repeated


def _named(places: Sequence[_Place], words: str, *, is_fatal: bool) -> list[Problem]:
    """A problem that lists the first affected annotations; empty if there are none."""
    if not places:
        return []
    named = "; ".join(place.words for place in places[:_NUM_NAMED])
    more = f"; and {len(places) - _NUM_NAMED} more" if len(places) > _NUM_NAMED else ""
    subject = "annotation" if len(places) == 1 else "annotations"
    return [
        Problem(f"{len(places)} {subject} {words}: {named}{more}. Correct the annotations, or delete them.", is_fatal)
    ]
