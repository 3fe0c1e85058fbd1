"""Our compact format: one safetensors file per episode, with uncompressed images at the training size.

    DIR/dataset.json                            what was recorded, and how
    DIR/training/episode_000000.safetensors     frames of one episode; the header holds its annotations
    DIR/validation/...

A window is a slice of a memory-mapped file. Reading copies only its bytes, and the system caches what was read.
"""

import errno
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from typing_extensions import override

from calvinbench.envs.system.atomic_write import whole_file
from calvinbench.policies.demonstrations.demonstrations import (
    FRAME_KEYS,
    IMAGE_KEYS,
    Annotation,
    DataDescription,
    DataError,
    Demonstrations,
    Frames,
)

COMPACT = "compact"
DATASET_FILE = "dataset.json"
SCHEMA_VERSION = 1
_OPEN_FILES = 64
_MODE = 0o644
"""Permissions of an episode's file. By default, safetensors lets only the owner read it."""


def episode_file(folder: Path, number: int) -> Path:
    """The file of an episode in the folder of its split."""
    return folder / f"episode_{number:06d}.safetensors"


def write_episode(
    path: Path, arrays: Mapping[str, np.ndarray], annotations: Sequence[Annotation], notes: Mapping[str, Any]
) -> None:
    """Writes an episode atomically.

    Args:
        path: The file.
        arrays: Arrays by name. Their first axis is time. `FRAME_KEYS` must be among them.
        annotations: Annotated stretches. Their episode number is ignored.
        notes: Notes to save as JSON.

    Raises:
        OSError: The file cannot be written, for example because the disk is full.
    """
    header = {
        "annotations": json.dumps(
            [{"start": a.start, "end": a.end, "task": a.task, "instruction": a.instruction} for a in annotations]
        ),
        "notes": json.dumps(dict(notes)),
    }
    try:
        with whole_file(path, mode=_MODE) as temporary:
            save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, temporary, metadata=header)
    except SafetensorError as error:
        raise OSError(errno.EIO, f"cannot write '{path}': {error}. Free space or choose another folder.") from error


class CompactDemonstrations(Demonstrations):
    """One split of a compact data set."""

    def __init__(self, folder: Path, split: str) -> None:
        """Reads the headers of all episodes.

        Args:
            folder: The folder of `dataset.json`.
            split: `training` or `validation`.

        Raises:
            DataError: The data set is missing or incomplete.
        """
        self._folder = folder / split
        content = read_dataset_file(folder)
        self._files = tuple(sorted(self._folder.glob("episode_*.safetensors")))
        if not self._files:
            raise DataError(
                f"expected episodes in '{self._folder}', found none. Record some: calvinbench record --out {folder}."
            )
        sizes = content.get("picture_sizes")
        if not isinstance(sizes, dict):
            raise DataError(
                f"expected picture_sizes in '{folder / DATASET_FILE}', got {sizes!r}. Record the data again."
            )
        self._description = DataDescription(form=COMPACT, path=str(folder), image_sizes=sizes, details=content)
        self._annotations = tuple(
            annotation for number, file in enumerate(self._files) for annotation in _read_annotations(file, number)
        )

    @property
    @override
    def description(self) -> DataDescription:
        return self._description

    @property
    @override
    def annotations(self) -> tuple[Annotation, ...]:
        return self._annotations

    @property
    def num_episodes(self) -> int:
        """Number of episodes, one file each."""
        return len(self._files)

    @override
    def read(self, episode: int, start: int, end: int, keys: Sequence[str]) -> Frames:
        if unknown := set(keys) - set(FRAME_KEYS):
            raise DataError(f"expected some of {', '.join(FRAME_KEYS)}, got {', '.join(sorted(unknown))}.")
        if not 0 <= episode < len(self._files):
            raise DataError(f"expected one of {len(self._files)} episodes of '{self._folder}', got {episode}.")
        file = self._files[episode]
        try:
            opened = _open(file)
            if absent := {key for key in keys if key in IMAGE_KEYS} - set(opened.keys()):
                raise DataError(
                    f"expected {', '.join(sorted(absent))} in '{file}', found {', '.join(sorted(opened.keys()))}. "
                    "Train with cameras that the data have, such as cameras=static in the policy's spec."
                )
            parts = {key: opened.get_slice(key) for key in keys}
            for key, part in parts.items():
                num_frames, *shape = part.get_shape()
                if key in IMAGE_KEYS and (len(shape) != 3 or shape[0] != shape[1]):
                    raise DataError(
                        f"expected square images, as those of CALVIN's cameras and as policies get them, got "
                        f"{key} of shape {tuple(shape)} (height, width, colours) in '{file}'. Crop or pad them to a "
                        "square."
                    )
                if not 0 <= start < end <= num_frames:
                    raise DataError(f"expected some of the {num_frames} frames of '{file}', got {start} to {end}.")
            return Frames(**{key: part[start:end] for key, part in parts.items()})
        except (OSError, SafetensorError) as error:
            raise _damaged(file, error) from error


@lru_cache(maxsize=_OPEN_FILES)
def _open(file: Path) -> Any:
    """Opens a file and caches it, because opening takes longer than reading a window."""
    return safe_open(file, framework="np")


def read_dataset_file(folder: Path) -> dict[str, Any]:
    """Reads the recorder's description of a data set.

    Raises:
        DataError: The file is missing or damaged.
    """
    file = folder / DATASET_FILE
    try:
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
        version = int(content["schema_version"])
    except FileNotFoundError as error:
        raise DataError(
            f"expected a data set with {DATASET_FILE} in '{folder}', found none. "
            f"Record one: calvinbench record --out {folder}."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"expected the description of a data set in '{file}', got: {error!r}. Record the data again."
        ) from error
    if version > SCHEMA_VERSION:
        raise DataError(
            f"expected schema version {SCHEMA_VERSION} or older in '{file}', got {version}. "
            "A later version of calvinbench wrote it. Install that version to read it."
        )
    return content


def _read_annotations(file: Path, number: int) -> list[Annotation]:
    try:
        with safe_open(file, framework="np") as opened:
            header = opened.metadata()
        return [Annotation(episode=number, **entry) for entry in json.loads(header["annotations"])]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> DataError:
    return DataError(
        f"expected a complete episode in '{file}', but: {type(error).__name__}: {error}. "
        "Delete the file and run the same `calvinbench record` command again. It records what is missing."
    )
