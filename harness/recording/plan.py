"""The plan of a recording: finished and missing episodes, expected size and free disk space."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from calvinbench.harness.recording.episode_records import read_records
from calvinbench.harness.recording.settings import RecordingSettings
from calvinbench.policies.demonstrations.calvin_layout import CALVIN
from calvinbench.policies.demonstrations.compact import DATASET_FILE, read_dataset_file
from calvinbench.policies.demonstrations.opening import SPLITS

_FRAMES_OF_SUBTASK = 60
"""On average, as the scripted expert does them."""
_CALVIN_BYTES_OF_PIXEL = 3.0
"""Compressed: colours and depth. Measured from 2.8 at 200 and 84 pixels a side to 4 at 100 and 84."""
_CALVIN_BYTES_OF_FRAME = 4000
_COMPACT_BYTES_OF_PIXEL = 3.0
_COMPACT_BYTES_OF_FRAME = 212
"""7 + 7 + 15 + 24 numbers of 32 bits."""
_NAMES = {"episodes": "training", "validation_episodes": "validation"}


@dataclass(frozen=True, slots=True)
class RecordingPlan:
    """Finished and missing episodes, expected size and free space.

    Attributes:
        out: The data set's folder.
        there: Finished episodes by split.
        added: Episodes to record by split.
        kept: Finished episodes by split that are not requested now; they stay.
        changed: Requested numbers of episodes, previous and present, by split, where they differ.
        num_frames: Expected number of added frames.
        bytes_of_frame: Expected size of a frame on disk.
        free_bytes: Free space on the disk.
    """

    out: Path
    there: Mapping[str, int]
    added: Mapping[str, int]
    kept: Mapping[str, int]
    changed: Mapping[str, tuple[int, int]]
    num_frames: int
    bytes_of_frame: float
    free_bytes: int

    @property
    def num_bytes(self) -> float:
        """Expected size of the added frames."""
        return self.num_frames * self.bytes_of_frame

    @property
    def fits(self) -> bool:
        """Whether the disk has enough space."""
        return self.num_bytes <= self.free_bytes

    def lines(self) -> list[str]:
        """Messages to show before the recording starts."""
        lines = []
        for split, (before, now) in self.changed.items():
            lines.append(f"{split.capitalize()} episodes: {before} were requested before, {now} now.")
        if any(self.there.values()):
            adds = _counted(self.added)
            then = f"{adds} will be added" if adds else "Nothing is missing"
            lines.append(f"'{self.out}' has {_counted(self.there)}. {then}.")
        if any(self.kept.values()):
            lines.append(f"The folder has more than requested now: {_counted(self.kept)}. They stay.")
        if any(self.there.values()) and any(self.added.values()) and self.changed:
            lines.append("A training that already uses this folder would resume with changed data.")
        if any(self.added.values()):
            lines.append(
                f"Expected size: about {_in_words(self.num_bytes)} ({self.num_frames:,} frames of about "
                f"{_in_words(self.bytes_of_frame)}). Free on the disk: {_in_words(self.free_bytes)}."
            )
        if not self.fits:
            lines.append(
                "WARNING: this may not fit on the disk. Free some space, choose another --out, or record less: fewer "
                "--episodes, a smaller --static-size, or --form compact."
            )
        return lines


def asked_before(out: Path) -> dict[str, int]:
    """Episodes that earlier calls requested: `episodes` and `validation_episodes`; empty without an earlier call.

    Raises:
        DataError: The data set's file is damaged.
    """
    if not (out / DATASET_FILE).is_file():
        return {}
    asked = read_dataset_file(out).get("asked")
    return {name: int(asked[name]) for name in _NAMES if name in asked} if isinstance(asked, dict) else {}


def plan_recording(settings: RecordingSettings) -> RecordingPlan:
    """Makes a plan from the content of the folder. It changes nothing.

    Raises:
        DataError: A file of an earlier call is damaged.
    """
    records, wanted, before = read_records(settings.out), set(settings.wanted()), asked_before(settings.out)
    asked = {name: getattr(settings, name) for name in _NAMES}
    added = {split: sum(key[0] == split for key in wanted - records.keys()) for split in SPLITS}
    num_steps = sum(added.values()) * settings.subtasks * (_FRAMES_OF_SUBTASK + settings.frames_after)
    return RecordingPlan(
        out=settings.out,
        there={split: sum(key[0] == split for key in records) for split in SPLITS},
        added=added,
        kept={split: sum(key[0] == split for key in records.keys() - wanted) for split in SPLITS},
        changed={_NAMES[name]: (number, asked[name]) for name, number in before.items() if number != asked[name]},
        num_frames=num_steps,
        bytes_of_frame=bytes_of_frame(settings),
        free_bytes=free_bytes(settings.out),
    )


def bytes_of_frame(settings: RecordingSettings) -> float:
    """Expected size of a frame on disk."""
    num_pixels = sum(size**2 for size in settings.picture_sizes.values())
    if settings.form == CALVIN:
        return num_pixels * _CALVIN_BYTES_OF_PIXEL + _CALVIN_BYTES_OF_FRAME
    return num_pixels * _COMPACT_BYTES_OF_PIXEL + _COMPACT_BYTES_OF_FRAME


def free_bytes(folder: Path) -> int:
    """Free space on the disk of a folder, which need not exist yet."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def _counted(counts: Mapping[str, int]) -> str:
    """Such as `4 training and 2 validation episodes`; empty for none."""
    words = " and ".join(f"{count} {split}" for split, count in counts.items() if count)
    total = sum(counts.values())
    return f"{words} episode{'' if total == 1 else 's'}" if words else ""


def _in_words(num_bytes: float | int) -> str:
    """A size, such as `51 kB` or `2.4 GB`."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes / 1e3:.0f} kB"
