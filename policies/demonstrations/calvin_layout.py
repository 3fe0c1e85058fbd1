"""Reads one split of a data set in CALVIN's layout: one file for each frame, and an index of episodes and annotations.

`DIR/training/` and `DIR/validation/` each have

- `episode_0000000.npz` and so on, one time step each (see `calvin_frames`);
- `ep_start_end_ids.npy`: first and last frame of each episode, both included, in any order;
- `lang_annotations/auto_lang_ann.npy`: first and last frame, task and sentence of each annotated stretch.

Here, the last frame of a stretch belongs to it, with its action. CALVIN's and RoboVLMs' loaders end their windows
before it and never show its action. In data that we recorded, the last frame is the one after the last action, so it is
left out. Their `rel_actions` are read from the labels, the expert's actions, which are stored beside the executed ones.
"""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from typing_extensions import override

from calvinbench.policies.demonstrations.calvin_frames import (
    CAMERAS,
    EXPERT_PREFIX,
    FRAME_FILE,
    frame_name,
    read_arrays,
)
from calvinbench.policies.demonstrations.calvin_pickle import load_dictionary
from calvinbench.policies.demonstrations.calvin_scenes import FoundScenes, find_scenes, recorded_scenes
from calvinbench.policies.demonstrations.compact import DATASET_FILE, read_dataset_file
from calvinbench.policies.demonstrations.demonstrations import (
    FRAME_KEYS,
    IMAGE_KEYS,
    Annotation,
    DataDescription,
    DataError,
    Demonstrations,
    Frames,
)

CALVIN = "calvin"
EPISODES_FILE = "ep_start_end_ids.npy"
ANNOTATIONS_FILE = "auto_lang_ann.npy"
LANGUAGE_FOLDER = "lang_annotations"
SOLVED = "solved"
"""A note of our recorder: the last frame of an annotation is the one after its last action."""
_EXPERT_LABELS = f"{EXPERT_PREFIX}rel_actions"
_VECTOR_DIMS = {"rel_actions": 7, "robot_obs": 15}

logger = logging.getLogger(__name__)


class CalvinLayout(Demonstrations):
    """One split of a data set in CALVIN's layout.

    Episodes are the entries of `ep_start_end_ids.npy`. Only the index is kept in memory.
    """

    def __init__(self, folder: Path) -> None:
        """Reads the index, and one frame for the size of the images.

        Args:
            folder: The split's folder, with the frames in it.

        Raises:
            DataError: A file of the index is missing or damaged, there are no frames, or no annotation is within an
                episode.
        """
        self._folder = folder
        self._num_digits = num_digits(folder)
        self._episodes = read_episodes(folder)
        stretches = read_annotations(folder)
        # Our own recorder writes its notes into the folder above the splits. CALVIN's does not write any.
        noted = read_dataset_file(folder.parent) if (folder.parent / DATASET_FILE).is_file() else None
        if noted is not None and noted.get("last_frame") == SOLVED:
            stretches = tuple(replace(stretch, last=stretch.last - 1) for stretch in stretches)
        self._annotations, self._num_left_out = _place(stretches, self._episodes)
        if self._num_left_out:
            logger.warning(
                f"{self._num_left_out} of {len(stretches)} annotations of '{folder}' are in none of its "
                f"{len(self._episodes)} episodes. They are left out."
            )
        if not self._annotations:
            raise DataError(
                f"expected annotations within the episodes of '{folder}', but all {len(stretches)} are outside. Either "
                f"{EPISODES_FILE} and {ANNOTATIONS_FILE} belong to two data sets, or there are no annotations. Extract "
                "the data set again."
            )
        file = self.frame_file(self._annotations[0].episode, self._annotations[0].start)
        first = read_arrays(file, (), (*IMAGE_KEYS, _EXPERT_LABELS))
        self._file_keys = {"rel_actions": _EXPERT_LABELS} if _EXPERT_LABELS in first else {}
        sizes = {camera: _side(first[f"rgb_{camera}"], file, camera) for camera in CAMERAS if f"rgb_{camera}" in first}
        if not sizes:
            raise DataError(f"expected {' or '.join(IMAGE_KEYS)} in '{file}', found neither. It has no images.")
        found = self._find_scenes(None if noted is None else noted.get("scene"))
        self._scene_doubts = found.doubts
        details = {"form": CALVIN, "scene": found.scenes} if noted is None else {**noted, "scene": found.scenes}
        self._description = DataDescription(CALVIN, str(folder.parent), sizes, details)

    @property
    @override
    def description(self) -> DataDescription:
        return self._description

    @property
    @override
    def annotations(self) -> tuple[Annotation, ...]:
        """The annotated stretches that are within an episode, in the order of the data."""
        return self._annotations

    @property
    def scene_doubts(self) -> tuple[str, ...]:
        """Contradictions about the scenes of the frames, one sentence each."""
        return self._scene_doubts

    @property
    def num_left_out(self) -> int:
        """Number of annotations that are not within an episode."""
        return self._num_left_out

    @property
    def num_episodes(self) -> int:
        """Number of episodes."""
        return len(self._episodes)

    def episode_length(self, episode: int) -> int:
        """Number of frames of an episode."""
        first, last = self._episodes[episode].tolist()
        return int(last - first + 1)

    def within_episodes(self, stretches: Sequence["AnnotatedStretch"]) -> Int64[np.ndarray, "S 2"]:
        """First and last frames (included) of the stretches within an episode. Training reads these."""
        order = np.argsort(self._episodes[:, 0], kind="stable")
        spans = []
        for stretch in stretches:
            before = int(np.searchsorted(self._episodes[order, 0], stretch.first, side="right")) - 1
            if before >= 0 and stretch.first <= stretch.last <= int(self._episodes[order[before], 1]):
                spans.append((stretch.first, stretch.last))
        return np.array(spans, dtype=np.int64).reshape(-1, 2)

    def frame_file(self, episode: int, index: int) -> Path:
        """The file of an episode's frame.

        Raises:
            DataError: The data set has no such episode, or the episode has no such frame.
        """
        if not 0 <= episode < len(self._episodes):
            raise DataError(f"expected one of {len(self._episodes)} episodes of '{self._folder}', got {episode}.")
        first, last = self._episodes[episode].tolist()
        if not 0 <= index <= last - first:
            raise DataError(
                f"expected one of {last - first + 1} frames of episode {episode} of '{self._folder}', got {index}."
            )
        return self._folder / frame_name(first + index, self._num_digits)

    @override
    def read(self, episode: int, start: int, end: int, keys: Sequence[str]) -> Frames:
        if unknown := set(keys) - set(FRAME_KEYS):
            raise DataError(f"expected some of {', '.join(FRAME_KEYS)}, got {', '.join(sorted(unknown))}.")
        if start >= end:
            raise DataError(f"expected at least one frame, got frames {start} to {end}.")
        files = [self.frame_file(episode, index) for index in range(start, end)]
        taken: dict[str, Any] = {}
        for index, file in enumerate(files):
            found = read_arrays(file, [self._file_keys.get(key, key) for key in keys])
            for key in keys:
                name, expected = self._file_keys.get(key, key), self._shape(key)
                array = found[name]
                is_kind = array.dtype == np.uint8 if key in IMAGE_KEYS else array.dtype.kind in "fiu"
                if array.shape != expected or not is_kind:
                    raise DataError(
                        f"expected {name} of {'uint8' if key in IMAGE_KEYS else 'numbers'} of shape {expected} in "
                        f"'{file}', got {array.dtype} of shape {array.shape}."
                    )
                if key not in taken:
                    kind = np.uint8 if key in IMAGE_KEYS else np.float32
                    taken[key] = np.empty((len(files), *expected), kind)
                taken[key][index] = array
        return Frames(**taken)

    def _find_scenes(self, recorded: str | None) -> FoundScenes:
        """The scenes of the frames, from our recorder's file if there is one, and from CALVIN's own files."""
        span = int(self._episodes.min()), int(self._episodes.max())
        try:
            if recorded is None:
                return find_scenes(self._folder, *span)
            return recorded_scenes(self._folder, recorded, self._folder.parent / DATASET_FILE, *span)
        except DataError:
            unknown = "So the scene of the data is unknown" if recorded is None else f"It is recorded as {recorded}"
            logger.warning(
                f"expected scenes and their frames in scene_info.npy of '{self._folder}', but it cannot be read. "
                f"{unknown}. Download it again, or name the scene by `train --data-scenes`."
            )
            return FoundScenes(recorded)

    def _shape(self, key: str) -> tuple[int, ...]:
        """The shape of one frame's array."""
        if key in _VECTOR_DIMS:
            return (_VECTOR_DIMS[key],)
        camera = key.removeprefix("rgb_")
        sizes = self._description.image_sizes
        if camera not in sizes:
            raise DataError(
                f"expected images of the {camera} camera in '{self._folder}', but its frames have only those of "
                f"{' and '.join(sizes)}. Train with cameras={'+'.join(sizes)} in the policy's spec."
            )
        return (sizes[camera], sizes[camera], 3)


def _side(image: Any, file: Path, camera: str) -> int:
    """The side of a camera's images, in pixels.

    Raises:
        DataError: They are not square, or not images.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise DataError(
            f"expected rgb_{camera} in '{file}' to be an image, uint8 of shape (H, H, 3), got {image.dtype} of shape "
            f"{image.shape}."
        )
    height, width, _ = image.shape
    if height != width:
        raise DataError(
            f"expected square images, as those of CALVIN's cameras and as policies get them, got {height} x "
            f"{width} pixels (height x width) of the {camera} camera in '{file}'. Crop or pad each rgb_{camera} to a "
            "square, and save the frames again."
        )
    return int(height)


@dataclass(frozen=True, slots=True)
class AnnotatedStretch:
    """An annotation in CALVIN's file.

    Attributes:
        first: Number of its first frame.
        last: Number of its last frame, included.
        task: The task's name.
        instruction: The sentence.
    """

    first: int
    last: int
    task: str
    instruction: str


def num_digits(folder: Path) -> int:
    """Number of digits of the frame numbers in a folder, read from the first name found.

    Raises:
        DataError: There is no such folder, or no frame in it.
    """
    if not folder.is_dir():
        raise DataError(f"expected frames of a CALVIN data set in '{folder}', but there is no such folder.")
    with os.scandir(folder) as entries:
        for entry in entries:
            if match := FRAME_FILE.fullmatch(entry.name):
                return len(match.group(1))
    raise DataError(
        f"expected frames of a CALVIN data set in '{folder}', {frame_name(0)} and so on, found none. Extract the data "
        "set. `calvinbench data check` says what is there."
    )


def read_episodes(folder: Path) -> Int64[np.ndarray, "E 2"]:
    """First and last frame (included) of each episode of a split, from `ep_start_end_ids.npy`.

    Raises:
        DataError: The file is missing or damaged, or has other content.
    """
    file = folder / EPISODES_FILE
    try:
        numbers = np.load(file, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(
            f"expected {EPISODES_FILE} in '{folder}', found none. It is part of the data set: extract it again."
        ) from error
    except (OSError, EOFError, ValueError) as error:
        raise DataError(
            f"expected first and last frames in '{file}', but it is cut off or damaged ({error}). "
            "Copy or download it again."
        ) from error
    if (
        not isinstance(numbers, np.ndarray)
        or numbers.ndim != 2
        or numbers.shape[1] != 2
        or numbers.dtype.kind not in "iu"
    ):
        shape = getattr(numbers, "shape", type(numbers).__name__)
        raise DataError(f"expected pairs of whole numbers in '{file}', got shape {shape}. Download it again.")
    if not len(numbers) or (numbers[:, 0] > numbers[:, 1]).any() or (numbers < 0).any():
        raise DataError(f"expected at least one episode in '{file}', each from its first to its last frame.")
    return numbers.astype(np.int64)


def annotation_files(folder: Path) -> list[Path]:
    """The files of annotations in a split, CALVIN's usual one first. Others differ in their sentence embeddings."""
    usual = [folder / LANGUAGE_FOLDER / ANNOTATIONS_FILE, folder / ANNOTATIONS_FILE]
    others = sorted(set(folder.glob(f"lang_*/{ANNOTATIONS_FILE}")) - set(usual))
    return [file for file in (usual[0], *others, usual[1]) if file.is_file()]


def read_annotations(folder: Path) -> tuple[AnnotatedStretch, ...]:
    """All annotations of a split, in the file's order.

    Raises:
        DataError: There is no file of annotations, or it is damaged.
    """
    files = annotation_files(folder)
    if not files:
        raise DataError(
            f"expected annotations at '{folder / LANGUAGE_FOLDER / ANNOTATIONS_FILE}' or in another folder lang_*, "
            "found none. They are part of the data set: extract it again, or run CALVIN's download_lang_embeddings.sh."
        )
    content = load_dictionary(files[0])
    _require_sentences(content, files[0])
    try:
        language, stretches = content["language"], content["info"]["indx"]
        found = tuple(
            AnnotatedStretch(int(first), int(last), str(task), str(instruction))
            for (first, last), task, instruction in zip(stretches, language["task"], language["ann"], strict=True)
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"expected language with ann and task, and info with indx, one of each an annotation, in '{files[0]}', got "
            f"{type(error).__name__}: {error}. Download it again."
        ) from error
    return found


def _require_sentences(content: Mapping[str, Any], file: Path) -> None:
    """Raises an error for sentences and task names that are not text, and for frames that are not whole numbers.

    Raises:
        DataError: There are some. The message names the first.
    """
    language, info = content.get("language"), content.get("info")
    if not isinstance(language, Mapping) or not isinstance(info, Mapping):
        return  # missing parts are reported when they are read
    for key, what in (("ann", "sentence"), ("task", "task's name")):
        for index, text in enumerate(language.get(key, ())):
            if not isinstance(text, str):
                raise DataError(
                    f"expected text as the {what} of annotation number {index} in '{file}', got {text!r}. Correct it, "
                    "or delete the annotation."
                )
    for index, span in enumerate(info.get("indx", ())):
        for number in span if isinstance(span, Sequence | np.ndarray) else ():
            if not isinstance(number, int | np.integer) or number < 0:
                raise DataError(
                    f"expected first and last frame of annotation number {index} in '{file}' as whole numbers of at "
                    f"least 0, got {span!r}. Correct it, or delete the annotation."
                )


def _place(
    stretches: Iterable[AnnotatedStretch], episodes: Int64[np.ndarray, "E 2"]
) -> tuple[tuple[Annotation, ...], int]:
    """Annotations by their episodes, in the order of the data, and the number of annotations that are in no episode."""
    order = np.argsort(episodes[:, 0], kind="stable")
    starts = episodes[order, 0]
    placed, num_left_out = [], 0
    for stretch in sorted(stretches, key=lambda stretch: stretch.first):
        before = int(np.searchsorted(starts, stretch.first, side="right")) - 1
        episode = int(order[before]) if before >= 0 else -1
        if episode < 0 or not stretch.first <= stretch.last <= episodes[episode, 1]:
            num_left_out += 1
            continue
        first = int(episodes[episode, 0])
        placed.append(
            Annotation(episode, stretch.first - first, stretch.last - first + 1, stretch.task, stretch.instruction)
        )
    placed.sort(key=lambda annotation: (annotation.episode, annotation.start))
    return tuple(placed), num_left_out
