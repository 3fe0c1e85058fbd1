"""Every chain of a report, for the page's script, and the videos that there are of them."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain as joined
from itertools import zip_longest
from pathlib import Path
from typing import Any

from markupsafe import Markup

from calvinbench.envs.tasks import TASKS
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.records.run_directory import SHARDS_FOLDER
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.html.file_links import relative_link
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.rollout.videos import VIDEOS_FOLDER

_VIDEO = re.compile(r"chain_(\d+)(-unlike-the-record)?\.mp4", re.ASCII)


@dataclass(frozen=True, slots=True)
class PageVideo:
    """A video on the page.

    Attributes:
        method: The run's name.
        chain: The chain's number.
        ending: How many subtasks were completed, and how the chain ended; empty if it has no record.
        href: The video's address, relative to the page.
        is_unlike: Whether the video was made afterwards, and went another way than the record.
    """

    method: str
    chain: int
    ending: str
    href: str
    is_unlike: bool


def videos_of(table: TableInput, directory: Path) -> list[PageVideo]:
    """All videos, those of the runs by turns.

    Args:
        table: The methods.
        directory: Where the page will be.
    """
    return [
        video for video in joined.from_iterable(zip_longest(*_videos_by_run(table, directory))) if video is not None
    ]


def _videos_by_run(table: TableInput, directory: Path) -> list[list[PageVideo]]:
    found = []
    for run, label in table.labelled():
        records = {record.chain: record for record in run.records}
        found.append(
            [
                PageVideo(
                    label,
                    number,
                    _ending(records[number]) if number in records else "",
                    relative_link(file, directory),
                    _is_unlike(file),
                )
                for number, file in sorted(_files(run).items())
            ]
        )
    return found


def _ending(record: ChainRecord) -> str:
    return f"{record.completed} completed, {record.outcome.replace('_', ' ')}"


def _is_unlike(file: Path) -> bool:
    found = _VIDEO.fullmatch(file.name)
    return found is not None and found[2] is not None


def _files(run: Run) -> dict[int, Path]:
    """A run's videos by chain, those of its shards too, which merging leaves where they are."""
    videos: dict[int, Path] = {}
    for folder in (VIDEOS_FOLDER, f"{SHARDS_FOLDER}/*/{VIDEOS_FOLDER}"):
        for file in sorted(run.directory.glob(f"{folder}/chain_*.mp4"), key=lambda file: (_is_unlike(file), file)):
            if found := _VIDEO.fullmatch(file.name):
                videos.setdefault(int(found[1]), file)
    return videos


def chain_data(table: TableInput, directory: Path) -> Markup:
    """All chains as JSON. Tasks, instructions and outcomes are numbers in lists of them, which keeps the page small.

    A chain is `[run, number, completed, outcome, [[task, instruction, outcome, steps], ...], error, video]`.

    Args:
        table: The methods.
        directory: Where the page will be.
    """
    runs = table.runs
    subtasks = [subtask for run in runs for record in run.records for subtask in record.subtasks]
    reached = {subtask.task for subtask in subtasks}
    tasks = _Places([*(task for task in TASKS if task in reached), *sorted(reached - set(TASKS))])
    instructions = _Places(list(dict.fromkeys(subtask.instruction for subtask in subtasks)))
    outcomes = _Places(
        list(dict.fromkeys([*(each.outcome for run in runs for each in run.records), *(s.outcome for s in subtasks)]))
    )
    chains = []
    for place, run in enumerate(runs):
        videos = _files(run)
        for record in run.records:
            video = videos.get(record.chain)
            steps = [
                [tasks.of[done.task], instructions.of[done.instruction], outcomes.of[done.outcome], done.steps]
                for done in record.subtasks
            ]
            row: list[Any] = [place, record.chain, record.completed, outcomes.of[record.outcome], steps]
            ends = [record.printable_error or "", relative_link(video, directory) if video else ""]
            while ends and not ends[-1]:
                ends.pop()
            chains.append(row + ends)
    content = {
        "runs": list(table.labels),
        "tasks": tasks.values,
        "instructions": instructions.values,
        "outcomes": outcomes.values,
        "most": max((record.completed for run in runs for record in run.records), default=0),
        "chains": chains,
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704  JSON that cannot end its element


class _Places:
    """Values, and the place of each."""

    def __init__(self, values: Sequence[str]) -> None:
        self.values = list(values)
        self.of = {value: place for place, value in enumerate(values)}
