"""Records of finished episodes: a small JSON file for each, written after its frames."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from calvinbench.envs.tasks import TASKS
from calvinbench.harness.records.folders import write_text_atomically
from calvinbench.policies.demonstrations.demonstrations import Annotation, DataError
from calvinbench.policies.demonstrations.opening import SPLITS

RECORDS_FOLDER = "episodes"


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """A finished episode.

    Attributes:
        split: `training` or `validation`.
        number: Within its split.
        num_frames: Frames that were kept; 0 if the first subtask failed.
        annotations: Subtasks that were solved.
        failed_task: The task at which the expert failed; None if it did not fail.
        start: The `scene_obs` that the world was reset to. After it, `SETTLE_STEPS` actions of no motion with the
            gripper open, then the executed actions give each frame again, to the last bit. None in older data sets.
    """

    split: str
    number: int
    num_frames: int
    annotations: tuple[Annotation, ...]
    failed_task: str | None = None
    start: tuple[float, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """A mapping that `json` can write."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "EpisodeRecord":
        """Reads what `to_json` made."""
        annotations = tuple(Annotation(**entry) for entry in values["annotations"])
        start = values.get("start")
        return cls(**{**values, "annotations": annotations, "start": None if start is None else tuple(start)})


@dataclass(frozen=True, slots=True)
class TaskCount:
    """Counts of one task: demonstrations, failed attempts (which are not kept), frames of the demonstrations."""

    done: int
    failed: int
    frames: int


def record_file(out: Path, split: str, number: int) -> Path:
    """The file of an episode's record in the data set's folder."""
    return out / RECORDS_FOLDER / split / f"{number:06d}.json"


def write_record(out: Path, record: EpisodeRecord) -> None:
    """Marks an episode as finished. Call it after its frames are written."""
    write_text_atomically(record_file(out, record.split, record.number), json.dumps(record.to_json()) + "\n")


def read_records(out: Path) -> dict[tuple[str, int], EpisodeRecord]:
    """All finished episodes by split and number.

    Raises:
        DataError: A record is damaged; the message names it.
    """
    records = {}
    for split in SPLITS:
        for file in sorted((out / RECORDS_FOLDER / split).glob("*.json")):
            try:
                found = EpisodeRecord.from_json(json.loads(file.read_text("utf-8")))
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"expected the record of an episode in '{file}', got {error!r}. Delete the file and run the same "
                    "command again, which records the episode again."
                ) from error
            records[split, found.number] = found
    return records


def count_tasks(records: Sequence[EpisodeRecord]) -> Mapping[str, TaskCount]:
    """Demonstrations of each task, and how often the expert failed at it."""
    return {
        task: TaskCount(
            done=sum(a.task == task for record in records for a in record.annotations),
            failed=sum(record.failed_task == task for record in records),
            frames=sum(a.num_frames for record in records for a in record.annotations if a.task == task),
        )
        for task in TASKS
    }
