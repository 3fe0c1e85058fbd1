"""How recorded episodes come to lie on the disk: CALVIN's layout, or our compact form."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from calvinbench.envs.names import require_name
from calvinbench.envs.observation import CAMERA_SIZES
from calvinbench.harness.recording.episode import Episode
from calvinbench.harness.recording.episode_records import EpisodeRecord
from calvinbench.policies.backbones.images.pil_resize import resize_with_pil
from calvinbench.policies.demonstrations.calvin_frames import EXPERT_PREFIX, frame_name, write_frame
from calvinbench.policies.demonstrations.calvin_layout import CALVIN, EPISODES_FILE, SOLVED, read_episodes
from calvinbench.policies.demonstrations.calvin_writer import FIRST_FRAME, write_index
from calvinbench.policies.demonstrations.compact import COMPACT, episode_file, write_episode
from calvinbench.policies.demonstrations.demonstrations import PICTURE_KEYS, DataError

FORMS = (CALVIN, COMPACT)
EXECUTED, LABELS = "executed", "labels"
LAST_ACTION = "last action"
_UNFINISHED = "unfinished"
_ACTIONS = ("rel_actions", "actions")
_EXECUTED = "executed_"
_KEPT = ("rel_actions", "actions", "robot_obs", "scene_obs")


@runtime_checkable
class RecordingForm(Protocol):
    """A way to lay episodes down."""

    actions: str
    """What `rel_actions` and `actions` are: `"executed"`, or the `"labels"`."""
    last_frame: str
    """Which frame ends an annotation: `"solved"`, the one after its last action, or `"last action"`."""
    has_depth: bool
    """Whether depths are kept."""
    rendered_sizes: Mapping[str, int]
    """Pixels a side that each camera is rendered at."""

    def write(self, split: str, number: int, episode: Episode) -> None:
        """Leaves an episode on the disk; called in any process, in any order, and again if it was cut off."""

    def lost(self, split: str, records: Sequence[EpisodeRecord]) -> frozenset[int]:
        """Numbers of finished episodes whose frames are not all there any more; given all of the split, in order."""

    def finish(self, split: str, records: Sequence[EpisodeRecord], scene: str) -> None:
        """Makes the split readable; called in one process, with all its episodes in order, and again if cut off."""


class CompactForm:
    """One file an episode; pictures are rendered at CALVIN's sizes and resized as policies resize them."""

    actions, last_frame = LABELS, LAST_ACTION
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
            arrays[key] = resize_with_pil(pictures, self._sizes[key])
        path = episode_file(self._out / split, number)
        write_episode(path, arrays, episode.annotations, {"number": number})

    def lost(self, split: str, records: Sequence[EpisodeRecord]) -> frozenset[int]:
        """See `RecordingForm`."""
        there = _names(self._out / split)
        return frozenset(
            record.number
            for record in records
            if record.num_frames and episode_file(self._out / split, record.number).name not in there
        )

    def finish(self, split: str, records: Sequence[EpisodeRecord], scene: str) -> None:
        """See `RecordingForm`: each file is whole by itself."""


class CalvinForm:
    """CALVIN's own layout. Frames are numbered across episodes, so that they get their names when all are there.

    As in CALVIN's data, `rel_actions` and `actions` are what was executed, and the last frame of an annotation shows
    the task solved. The expert's actions, the labels, are in `expert_rel_actions` and `expert_actions`.
    """

    actions, last_frame = EXECUTED, SOLVED
    has_depth = True

    def __init__(self, out: Path, picture_sizes: Mapping[str, int]) -> None:
        self._out = out
        self.rendered_sizes: Mapping[str, int] = dict(picture_sizes)

    def write(self, split: str, number: int, episode: Episode) -> None:
        """See `RecordingForm`."""
        folder = self._unfinished(split, number)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if episode.last_frame is None:
            raise ValueError("expected an episode with at least one finished subtask, got none.")
        for index, frame in enumerate((*episode.frames, episode.last_frame)):
            write_frame(folder, index, _as_executed(frame))

    def lost(self, split: str, records: Sequence[EpisodeRecord]) -> frozenset[int]:
        """See `RecordingForm`."""
        there, lost = _names(self._out / split), []
        for record, first in _placed(records):
            waiting = _names(self._unfinished(split, record.number))
            if not all(
                frame_name(index) in waiting or frame_name(first + index) in there
                for index in range(_num_files(record))
            ):
                lost.append(record.number)
        return frozenset(lost)

    def finish(self, split: str, records: Sequence[EpisodeRecord], scene: str) -> None:
        """See `RecordingForm`. Frames are moved to their names one by one; those that are there already stay.

        Raises:
            DataError: Episodes that have their names already are to have others now.
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
    """An episode that has frames, and the number of its first one in the split."""

    record: EpisodeRecord
    first: int


def _placed(records: Sequence[EpisodeRecord]) -> list[_Placed]:
    """Where each episode's frames go: one after another."""
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
    """A frame with what was executed as its actions, and the labels beside them."""
    kept = {key: array for key, array in frame.items() if key not in _ACTIONS and not key.startswith(_EXECUTED)}
    executed = {key: frame[f"{_EXECUTED}{key}"] for key in _ACTIONS}
    labels = {f"{EXPERT_PREFIX}{key}": frame[key] for key in _ACTIONS}
    return kept | executed | labels


def _num_indexed(folder: Path, spans: Sequence[tuple[int, int]]) -> int:
    """How many of these episodes the split's index, which is written last, has already.

    Raises:
        DataError: It has others.
    """
    if not (folder / EPISODES_FILE).exists():
        return 0
    indexed = read_episodes(folder).tolist()
    if indexed != [list(span) for span in spans[: len(indexed)]]:
        raise DataError(
            f"expected the episodes that '{folder / EPISODES_FILE}' names to keep their numbers of frames, but one has "
            "another now that it was recorded anew: expert or world are not those of before. Record the data set in "
            "another --out."
        )
    return len(indexed)


def _names(folder: Path) -> frozenset[str]:
    """Names of what lies in a folder; none if there is no such folder."""
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()


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
