"""Checks that the files of a data set exist, by names and sizes. It opens only files that are too small."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from calvinbench.policies.demonstrations.calvin_frames import FRAME_FILE, frame_name, read_arrays
from calvinbench.policies.demonstrations.calvin_layout import (
    AnnotatedStretch,
    num_digits,
    read_annotations,
    read_episodes,
)
from calvinbench.policies.demonstrations.compact import episode_file
from calvinbench.policies.demonstrations.demonstrations import FRAME_KEYS, IMAGE_KEYS, DataError

_VECTORS = tuple(key for key in FRAME_KEYS if key not in IMAGE_KEYS)
_SMALL_BYTES = 1000
"""No frame is smaller: names and headers of its arrays alone take more. Pointers of git-lfs are."""
_AGAIN = (
    "Extract it again (`unzip -n` adds only what is missing); if the zip itself is short, download it again and "
    "compare it with CALVIN's sha256sum.txt"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a data set.

    Attributes:
        words: The message, which ends with what to do.
        is_fatal: Whether training on the data would fail, or learn something wrong.
    """

    words: str
    is_fatal: bool


@dataclass(frozen=True, slots=True)
class FilesFound:
    """The result of a check of a split's files.

    Attributes:
        problems: Problems of the files.
        unreadable: Damaged files, which need not be reported again.
        can_be_opened: Whether the other files can be checked further.
    """

    problems: tuple[Problem, ...] = ()
    unreadable: frozenset[str] = field(default_factory=frozenset)
    can_be_opened: bool = True


def examine_calvin_files(path: Path, split: str) -> FilesFound:
    """Checks that the index of a split in CALVIN's layout and the frames that it names exist."""
    folder = path / split
    if not folder.is_dir():
        words = f"there is no folder '{folder}': the data set was not extracted completely. {_AGAIN}."
        return FilesFound((Problem(words, is_fatal=True),), can_be_opened=False)
    try:
        digits = num_digits(folder)
        episodes = read_episodes(folder)
        stretches = read_annotations(folder)
    except DataError as error:
        return FilesFound((Problem(str(error), is_fatal=True),), can_be_opened=False)
    numbers, damaged = _scan(folder)
    missing = missing_frames(folder, numbers, episodes, stretches, digits)
    problems = [
        *(() if missing is None else (missing,)),
        *_of_damaged(damaged, stretches),
        *_of_index(folder, episodes, stretches),
    ]
    return FilesFound(tuple(problems), frozenset(frame_name(number, digits) for number in damaged))


def _scan(folder: Path) -> tuple[Int64[np.ndarray, " N"], dict[int, str]]:
    """Numbers of all frames with a file, sorted, and the errors of files that are too small."""
    numbers, damaged = [], {}
    with os.scandir(folder) as entries:
        for entry in entries:
            match = FRAME_FILE.fullmatch(entry.name)
            if match is None:
                continue
            number = int(match.group(1))
            numbers.append(number)
            if entry.stat().st_size < _SMALL_BYTES:
                try:
                    found = read_arrays(Path(entry.path), _VECTORS, IMAGE_KEYS)
                    if not found.keys() & set(IMAGE_KEYS):
                        read_arrays(Path(entry.path), IMAGE_KEYS)  # says what it lacks
                except DataError as error:
                    damaged[number] = str(error)
    return np.sort(np.array(numbers, dtype=np.int64)), damaged


def missing_frames(
    folder: Path,
    numbers: Int64[np.ndarray, " N"],
    spans: Int64[np.ndarray, "S 2"],
    stretches: tuple[AnnotatedStretch, ...],
    digits: int,
) -> Problem | None:
    """The problem of frames without a file; None if all have one.

    Args:
        folder: The split's folder.
        numbers: Sorted numbers of frames with a file.
        spans: First and last numbers (included) of frames that should have one.
        stretches: The annotations.
        digits: Number of digits in file names.
    """
    if not len(spans):
        return None
    wanted = np.unique(np.concatenate([np.arange(first, last + 1) for first, last in spans.tolist()]))
    missing = np.setdiff1d(wanted, numbers)
    if not missing.size:
        return None
    lacking = sum(_touches(missing, stretch) for stretch in stretches)
    last = f", the last '{frame_name(int(missing[-1]), digits)}'" if missing.size > 1 else ""
    effect = f"{lacking} of {len(stretches)} demonstrations lack frames" if lacking else "no demonstration needs them"
    first = folder / frame_name(int(missing[0]), digits)
    words = f"{missing.size} of {wanted.size} frames are not there, the first '{first}'{last}; {effect}. {_AGAIN}."
    return Problem(words, is_fatal=lacking > 0)


def _of_damaged(damaged: Mapping[int, str], stretches: tuple[AnnotatedStretch, ...]) -> list[Problem]:
    if not damaged:
        return []
    numbers = np.array(sorted(damaged), dtype=np.int64)
    lacking = sum(_touches(numbers, stretch) for stretch in stretches)
    words = (
        f"{numbers.size} {'files are' if numbers.size > 1 else 'file is'} too small to be a frame, in {lacking} of "
        f"{len(stretches)} demonstrations; the first: {damaged[int(numbers[0])]}"
    )
    return [Problem(words, is_fatal=lacking > 0)]


def _touches(numbers: Int64[np.ndarray, " N"], stretch: AnnotatedStretch) -> bool:
    """Whether one of the sorted numbers is in a stretch."""
    place = int(np.searchsorted(numbers, stretch.first))
    return place < numbers.size and int(numbers[place]) <= stretch.last


def _of_index(
    folder: Path, episodes: Int64[np.ndarray, "E 2"], stretches: tuple[AnnotatedStretch, ...]
) -> list[Problem]:
    """Problems of other files, some of which only CALVIN's own code reads."""
    problems = []
    ordered = episodes[np.argsort(episodes[:, 0])]
    places = [int(np.searchsorted(ordered[:, 0], stretch.first, side="right")) - 1 for stretch in stretches]
    outside = sum(
        place < 0 or stretch.last > int(ordered[place, 1]) for place, stretch in zip(places, stretches, strict=True)
    )
    if 0 < outside < len(stretches):
        words = (
            f"{outside} of {len(stretches)} annotations lie outside of the episodes of ep_start_end_ids.npy, and are "
            "left out. Both files must be of one data set: extract it again."
        )
        problems.append(Problem(words, is_fatal=False))
    for name, reader in (
        ("statistics.yaml", "CALVIN's own training normalizes by it"),
        ("scene_info.npy", "`calvinbench doctor --calvin-data` and CALVIN's annotator read the scene from it"),
    ):
        # Downloads of the validation split have not always had a scene_info.npy; the one of training says it as well.
        places_of_it = [folder / name, *([folder.parent / "training" / name] if name == "scene_info.npy" else [])]
        if not any(file.is_file() for file in places_of_it):
            words = f"there is no {name} in '{folder}'; {reader}, our training does not. Extract the data set again."
            problems.append(Problem(words, is_fatal=False))
    return problems


def examine_compact_files(path: Path, split: str) -> FilesFound:
    """Checks that the episodes which the recorder marked as finished exist."""
    folder = path / split
    if not folder.is_dir():
        words = (
            f"there is no folder '{folder}'. Copy the whole data set, or record it: calvinbench record --out {path}."
        )
        return FilesFound((Problem(words, is_fatal=True),), can_be_opened=False)
    absent = []
    records = sorted((path / "episodes" / split).glob("*.json"))
    for file in records:
        try:
            content: dict[str, Any] = json.loads(file.read_text("utf-8"))
            number, num_frames = int(content["number"]), int(content["num_frames"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            words = (
                f"expected the record of an episode in '{file}', got {error!r}. Delete it and run the same "
                "`calvinbench record` again."
            )
            return FilesFound((Problem(words, is_fatal=False),))
        if num_frames and not episode_file(folder, number).is_file():
            absent.append((file, episode_file(folder, number)))
    if not absent:
        return FilesFound()
    words = (
        f"{len(absent)} of {len(records)} recorded episodes are not there, the first '{absent[0][1]}'. Copy them, or "
        f"delete their notes (the first: '{absent[0][0]}') and run the same `calvinbench record` again."
    )
    return FilesFound((Problem(words, is_fatal=False),))
