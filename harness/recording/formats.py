"""How recorded episodes are written to disk: in CALVIN's layout, or in our compact format."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from typing_extensions import override

from calvinbench.envs.names import require_name
from calvinbench.envs.observation import CAMERA_SIZES
from calvinbench.harness.recording.episode import Episode
from calvinbench.harness.recording.episode_records import EpisodeRecord
from calvinbench.policies.backbones.images.pil_resize import resize_with_pil
from calvinbench.policies.demonstrations.calvin_frames import EXPERT_PREFIX, frame_name, write_frame
from calvinbench.policies.demonstrations.calvin_layout import CALVIN, EPISODES_FILE, SOLVED, read_episodes
from calvinbench.policies.demonstrations.calvin_writer import FIRST_FRAME, write_index
from calvinbench.policies.demonstrations.compact import COMPACT, episode_file, write_episode
from calvinbench.policies.demonstrations.demonstrations import IMAGE_KEYS, DataError

FORMATS = (CALVIN, COMPACT)
EXECUTED, LABELS = "executed", "labels"
LAST_ACTION = "last action"
_UNFINISHED = "unfinished"
_ACTIONS = ("rel_actions", "actions")
_EXECUTED = "executed_"
_KEPT = ("rel_actions", "actions", "robot_obs", "scene_obs")


@runtime_checkable
class RecordingFormat(Protocol):
    """A format in which episodes are written to disk."""

    actions: str
    """Which actions `rel_actions` and `actions` hold: the `"executed"` ones, or the `"labels"`."""
    last_frame: str
    """Which frame ends an annotation: `"solved"`, the one after its last action, or `"last action"`."""
    has_depth: bool
    """Whether depths are kept."""
    rendered_sizes: Mapping[str, int]
    """Pixels a side that each camera is rendered at."""

    def write(self, split: str, number: int, episode: Episode) -> None:
        """Writes an episode to disk. Any process may call it, in any order, and again after an interruption."""

    def lost(self, split: str, records: Sequence[EpisodeRecord]) -> frozenset[int]:
        """Numbers of finished episodes with missing frames. `records` holds all episodes of the split, in order."""

    def finish(self, split: str, records: Sequence[EpisodeRecord], scene: str) -> None:
        """Makes the split readable. One process calls it, with all episodes in order; again after an interruption."""


class CompactFormat(RecordingFormat):
    """One file per episode. Images are rendered at CALVIN's sizes and resized by the filter that policies use."""

    actions, last_frame = LABELS, LAST_ACTION
    has_depth = False
    rendered_sizes: Mapping[str, int] = CAMERA_SIZES

    def __init__(self, out: Path, picture_sizes: Mapping[str, int]) -> None:
        self._out = out
        self._sizes = {f"rgb_{camera}": size for camera, size in picture_sizes.items()}

    @override
    def write(self, split: str, number: int, episode: Episode) -> None:
        arrays = {key: np.stack([frame[key] for frame in episode.frames]).astype(np.float32) for key in _KEPT}
        for key in IMAGE_KEYS:
            pictures = np.stack([frame[key] for frame in episode.frames])
            arrays[key] = resize_with_pil(pictures, self._sizes[key])
        path = episode_file(self._out / split, number)
        write_episode(path, arrays, episode.annotations, {"number": number})

    @override
    def lost(self, split: str, records: Sequence[EpisodeRecord]) -> frozenset[int]:
        there = _names(self._out / split)
        return frozenset(
            record.number
            for record in records
            if record.num_frames and episode_file(self._out / split, record.number).name not in there
        )

    @override
    def finish(self, split: str, records: Sequence[EpisodeRecord], scene: str) -> None:
        """Does nothing: each file is complete by itself."""


class CalvinFormat(RecordingFormat):
    """CALVIN's own layout. Frames are numbered across episodes, so they get their final names when all are recorded.

    As in CALVIN's data, `rel_actions` and `actions` are what was executed, and the last frame of an annotation shows
    the task solved. The expert's actions, the labels, are in `expert_rel_actions` and `expert_actions`.
    """

    actions, last_frame = EXECUTED, SOLVED
    has_depth = True

    def __init__(self, out: Path, picture_sizes: Mapping[str, int]) -> None:
        self._out = out
        self.rendered_sizes: Mapping[str, int] = dict(picture_sizes)

    @override
    def write(self, split: str, number: int, episode: Episode) -> None:
        folder = self._unfinished(split, number)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if episode.last_frame is None:
            raise ValueError("expected an episode with at least one finished subtask, got none.")
        for index, frame in enumerate((*episode.frames, episode.last_frame)):
            write_frame(folder, index, _as_executed(frame))

    @override
    def lost(self, split: str, records: Sequence[EpisodeRecord]) -> frozenset[int]:
        there, lost = _names(self._out / split), []
        for record, first in _placed(records):
            waiting = _names(self._unfinished(split, record.number))
            if not all(
                frame_name(index) in waiting or frame_name(first + index) in there
                for index in range(_num_files(record))
            ):
                lost.append(record.number)
        return frozenset(lost)

    @override
    def finish(self, split: str, records: Sequence[EpisodeRecord], scene: str) -> None:
        """Moves frames to their final names one by one; frames that were moved before stay.

        Raises:
            DataError: An episode that already has its final frame numbers would get others.
        """
        placed, folder = _placed(records), self._out / split
        if not placed:
            return
        spans = [(first, first + _num_files(record) - 1) for record, first in placed]
        # The last frame, included, is the one after the annotation's last action.
        annotations = [
            (first + a.start, first + a.end, a.task, a.instruction)
            for record, first in placed
            for a in record.annotations
        ]
        num_indexed = _num_indexed(folder, spans)
        for record, first in placed:
            unfinished = self._unfinished(split, record.number)
            waiting = _names(unfinished)
            for index in range(_num_files(record)):
                if frame_name(index) in waiting:
                    (unfinished / frame_name(index)).replace(folder / frame_name(first + index))
            shutil.rmtree(unfinished, ignore_errors=True)
        if num_indexed != len(spans):
            write_index(folder, spans, annotations, scene)
        if not any((self._out / _UNFINISHED).rglob("*.npz")):
            shutil.rmtree(self._out / _UNFINISHED, ignore_errors=True)

    def _unfinished(self, split: str, number: int) -> Path:
        return self._out / _UNFINISHED / split / f"{number:06d}"


class _Placed(NamedTuple):
    """An episode with frames, and the number of its first frame in the split."""

    record: EpisodeRecord
    first: int


def _placed(records: Sequence[EpisodeRecord]) -> list[_Placed]:
    """The number of each episode's first frame: episodes follow each other."""
    placed, first = [], FIRST_FRAME
    for record in records:
        if record.num_frames:
            placed.append(_Placed(record, first))
            first += _num_files(record)
    return placed


def _num_files(record: EpisodeRecord) -> int:
    """Frames of an episode in CALVIN's layout: one a step, and the one after the last step."""
    return record.num_frames + 1


def _as_executed(frame: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A frame with the executed actions as its actions, and the labels beside them."""
    kept = {key: array for key, array in frame.items() if key not in _ACTIONS and not key.startswith(_EXECUTED)}
    executed = {key: frame[f"{_EXECUTED}{key}"] for key in _ACTIONS}
    labels = {f"{EXPERT_PREFIX}{key}": frame[key] for key in _ACTIONS}
    return kept | executed | labels


def _num_indexed(folder: Path, spans: Sequence[tuple[int, int]]) -> int:
    """How many of these episodes are in the split's index already. The index is written last.

    Raises:
        DataError: The index has other episodes.
    """
    if not (folder / EPISODES_FILE).exists():
        return 0
    indexed = read_episodes(folder).tolist()
    if indexed != [list(span) for span in spans[: len(indexed)]]:
        raise DataError(
            f"expected the episodes that '{folder / EPISODES_FILE}' names to keep their numbers of frames, but one has "
            "another now that it was recorded anew: the expert or the world has changed. Record the data set in "
            "another --out."
        )
    return len(indexed)


def _names(folder: Path) -> frozenset[str]:
    """Names of the files in a folder; empty if the folder does not exist."""
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()


def make_format(name: str, out: Path, picture_sizes: Mapping[str, int]) -> RecordingFormat:
    """Makes a format by its name.

    Args:
        name: One of `FORMATS`.
        out: The data set's folder.
        picture_sizes: Pixels a side by camera.

    Raises:
        UnknownNameError: There is no such format.
    """
    require_name(name, FORMATS, "format of a data set")
    return CalvinFormat(out, picture_sizes) if name == CALVIN else CompactFormat(out, picture_sizes)
