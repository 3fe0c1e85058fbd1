"""How recorded episodes come to lie on the disk: CALVIN's layout, or our compact form."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from calvinbench.envs.names import require_name
from calvinbench.envs.observation import CAMERA_SIZES
from calvinbench.harness.demonstrating import Episode
from calvinbench.policies.demonstrations.augmentation import resize_pictures
from calvinbench.policies.demonstrations.calvin_frames import frame_name, write_frame
from calvinbench.policies.demonstrations.calvin_writer import FIRST_FRAME, write_index
from calvinbench.policies.demonstrations.compact import COMPACT, episode_file, write_episode
from calvinbench.policies.demonstrations.demonstrations import PICTURE_KEYS, Annotation

CALVIN = "calvin"
FORMS = (CALVIN, COMPACT)
_UNFINISHED = "unfinished"
_KEPT = ("rel_actions", "actions", "robot_obs", "scene_obs")


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """A finished episode.

    Attributes:
        split: `training` or `validation`.
        number: Within its split.
        num_frames: Frames that are kept; 0 where the first subtask failed.
        annotations: Subtasks that were done.
        failed_task: At which the expert failed; None if it did not.
    """

    split: str
    number: int
    num_frames: int
    annotations: tuple[Annotation, ...]
    failed_task: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A mapping that `json` can write."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "EpisodeRecord":
        """Reads what `to_json` made."""
        annotations = tuple(Annotation(**entry) for entry in values["annotations"])
        return cls(**{**values, "annotations": annotations})


class RecordingForm(Protocol):
    """A way to lay episodes down."""

    has_depth: bool
    """Whether depths are kept."""
    rendered_sizes: Mapping[str, int]
    """Pixels a side that each camera is rendered at."""

    def write(self, split: str, number: int, episode: Episode) -> None:
        """Leaves an episode on the disk; called in any process, in any order, and again if it was cut off."""

    def finish(self, split: str, records: Sequence[EpisodeRecord], scene: str) -> None:
        """Makes the split readable; called in one process, with all its episodes in order, and again if cut off."""


class CompactForm:
    """One file an episode; pictures are rendered at CALVIN's sizes and resized as policies resize them."""

    has_depth = False
    rendered_sizes: Mapping[str, int] = CAMERA_SIZES

    def __init__(self, out: Path, picture_sizes: Mapping[str, int]) -> None:
        self._out = out
        self._sizes = {f"rgb_{camera}": size for camera, size in picture_sizes.items()}

    def write(self, split: str, number: int, episode: Episode) -> None:
        """See `RecordingForm`."""
        arrays = {key: np.stack([frame[key] for frame in episode.frames]).astype(np.float32) for key in _KEPT}
        for key in PICTURE_KEYS:
            pictures = np.stack([frame[key] for frame in episode.frames])
            arrays[key] = resize_pictures(pictures, self._sizes[key])
        path = episode_file(self._out / split, number)
        write_episode(path, arrays, episode.annotations, {"number": number})

    def finish(self, split: str, records: Sequence[EpisodeRecord], scene: str) -> None:
        """See `RecordingForm`: each file is whole by itself."""


class CalvinForm:
    """CALVIN's own layout. Frames are numbered across episodes, so that they get their names when all are there."""

    has_depth = True

    def __init__(self, out: Path, picture_sizes: Mapping[str, int]) -> None:
        self._out = out
        self.rendered_sizes = dict(picture_sizes)

    def write(self, split: str, number: int, episode: Episode) -> None:
        """See `RecordingForm`."""
        folder = self._unfinished(split, number)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for index, frame in enumerate(episode.frames):
            write_frame(folder, index, frame)

    def finish(self, split: str, records: Sequence[EpisodeRecord], scene: str) -> None:
        """See `RecordingForm`. Frames are moved to their names one by one; those that are there already stay."""
        kept = [record for record in records if record.num_frames]
        if not kept:
            return
        folder, first = self._out / split, FIRST_FRAME
        spans, annotations = [], []
        for record in kept:
            unfinished = self._unfinished(split, record.number)
            for index in range(record.num_frames):
                source = unfinished / frame_name(index)
                if source.exists():
                    source.replace(folder / frame_name(first + index))
            shutil.rmtree(unfinished, ignore_errors=True)
            spans.append((first, first + record.num_frames - 1))
            annotations += [(first + a.start, first + a.end - 1, a.task, a.instruction) for a in record.annotations]
            first += record.num_frames
        if not _is_indexed(folder, spans):
            write_index(folder, spans, annotations, scene)
        if not any((self._out / _UNFINISHED).rglob("*.npz")):
            shutil.rmtree(self._out / _UNFINISHED, ignore_errors=True)

    def _unfinished(self, split: str, number: int) -> Path:
        return self._out / _UNFINISHED / split / f"{number:06d}"


def _is_indexed(folder: Path, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether the split's index, which is written last, is of these episodes already."""
    file = folder / "ep_start_end_ids.npy"
    return file.exists() and np.array_equal(np.load(file), np.array(spans))


def make_form(name: str, out: Path, picture_sizes: Mapping[str, int]) -> RecordingForm:
    """A form by name.

    Args:
        name: One of `FORMS`.
        out: The data set's folder.
        picture_sizes: Pixels a side by camera.

    Raises:
        UnknownNameError: There is no such form.
    """
    require_name(name, FORMS, "form of a data set")
    return CalvinForm(out, picture_sizes) if name == CALVIN else CompactForm(out, picture_sizes)
