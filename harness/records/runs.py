"""A run read back: its description and its chains, for tables, figures and notebooks."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int64

from calvinbench.envs.chain_env import SOLVED
from calvinbench.harness.records.description import RunDescription
from calvinbench.harness.records.old_runs import is_moved_aside
from calvinbench.harness.records.records import ERRORED, ChainRecord
from calvinbench.harness.records.run_directory import (
    CHAINS_FILE,
    RUN_FILE,
    SHARDS_FOLDER,
    read_chains,
    read_description,
)

FRAME_COLUMNS = (
    *("policy", "label", "chain", "position", "task", "instruction", "outcome", "success", "steps", "seconds"),
    *("policy_ms", "world_ms", "action_change", "gripper_changes"),
    *("completed", "chain_outcome", "error", "initial_state", "lead_in"),
)
"""Of `Run.frame`."""


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """One policy's chains.

    Attributes:
        directory: Where it is kept.
        description: What it is.
        records: The finished chains, by number.
    """

    directory: Path
    description: RunDescription
    records: tuple[ChainRecord, ...]

    def __repr__(self) -> str:
        average = f"{self.completed.mean():.2f}" if self.records else "-"
        errors = f", {self.num_errored} errored" if self.num_errored else ""
        return (
            f"Run({self.name!r}, {len(self.records)} of {self.description.chains} chains, average length {average}"
            f"{errors}, {self.directory.as_posix()!r})"
        )

    @property
    def name(self) -> str:
        """What tables call it, but for what tells runs of one name apart."""
        return self.description.name

    @property
    def completed(self) -> Int64[np.ndarray, " chains"]:
        """Subtasks completed in each finished chain, from 0 to `chain_length`."""
        return np.array([record.completed for record in self.records], dtype=np.int64)

    @property
    def chain_length(self) -> int:
        """Subtasks in each chain: CALVIN's have five, tasks that are run alone one."""
        return self.description.num_subtasks

    @property
    def num_errored(self) -> int:
        """Chains in which the policy or the world raised an error."""
        return sum(record.outcome == ERRORED for record in self.records)

    @property
    def num_missing(self) -> int:
        """Planned chains that are not finished."""
        return self.description.chains - len(self.records)

    def only(self, numbers: Collection[int]) -> "Run":
        """The run as if it had finished these chains alone."""
        chosen = set(numbers)
        return replace(self, records=tuple(record for record in self.records if record.chain in chosen))

    def frame(self) -> pd.DataFrame:
        """One row for each subtask that was reached, with its chain's number and result beside it.

        The share of successes of each task is `run.frame().groupby("task").success.mean()`. Columns:

        - `policy`, `label`: the policy's spec, and what tables call the run;
        - `chain`, `position`: the chain's number from 0, and the subtask's place in it from 1;
        - `task`, `instruction`: the task's name, and the sentence that the policy was given;
        - `outcome`, `success`: `solved`, `timed_out` or `errored`, and whether it is `solved` (boolean);
        - `steps`, `seconds`: actions taken, and wall-clock time;
        - `policy_ms`, `world_ms`: mean milliseconds a step that policy and world took;
        - `action_change`, `gripper_changes`: see `SubtaskRecord`; missing where older records do not tell;
        - `completed`, `chain_outcome`, `error`: of the whole chain; `error` is None without one;
        - `initial_state`: as JSON, the same text for chains of one initial state;
        - `lead_in`: the expert's tasks before the first subtask, separated by blanks.

        A run without a finished chain has these columns and no row.
        """
        rows = [
            {"policy": self.description.policy, "label": self.description.name}
            | {"chain": record.chain, "position": position}
            | {name: value for name, value in asdict(subtask).items() if name in FRAME_COLUMNS}
            | {"success": subtask.outcome == SOLVED}
            | {"completed": record.completed, "chain_outcome": record.outcome, "error": record.printable_error}
            | {"initial_state": json.dumps(dict(record.initial_state), sort_keys=True)}
            | {"lead_in": " ".join(record.lead_in)}
            for record in self.records
            for position, subtask in enumerate(record.subtasks, start=1)
        ]
        return pd.DataFrame(rows, columns=list(FRAME_COLUMNS)).astype({"success": bool})


def load_run(path: str | Path) -> Run:
    """Reads a run's folder, finished or not.

    Raises:
        ValueError: There is no run in it, or its files were changed by something else.
    """
    directory = Path(path)
    description = read_description(directory)
    records = read_chains(directory / CHAINS_FILE, description).records
    return Run(directory, _with_chain_length(description, records), records)


def _with_chain_length(description: RunDescription, records: Collection[ChainRecord]) -> RunDescription:
    """The description of a run of before lengths were kept, of chains that were not CALVIN's: solved ones tell."""
    lengths = {record.completed for record in records if record.outcome == SOLVED}
    if description.chain_length is not None or len(lengths) != 1 or lengths == {description.num_subtasks}:
        return description
    return replace(description, chain_length=lengths.pop())


def find_runs(*paths: str | Path) -> tuple[Run, ...]:
    """Reads the runs in folders: a run's own folder, or one that holds several, in the order of their making.

    A folder's own runs go before those deeper in it, such as a suite's, which are read only if it has none. Shards of a
    run that were merged are in it, and are not read again; those of a run that was never merged are runs of their own,
    each with chains missing.

    Raises:
        ValueError: A folder holds no run.
    """
    found: dict[Path, Run] = {}
    for path in map(Path, paths):
        files = next(filter(None, (_run_files(path, depth) for depth in ("", "*/", "**/"))), [])
        if not files:
            raise ValueError(f"expected a folder with runs, found no {RUN_FILE} in '{path}' or below it.")
        runs = [load_run(file.parent) for file in files]
        for run in sorted(runs, key=lambda run: run.description.created):
            found.setdefault(run.directory.resolve(), run)
    return tuple(found.values())


def _run_files(folder: Path, depth: str) -> list[Path]:
    """The files that describe runs so deep in a folder, shards of those that were never merged among them.

    Runs that were moved aside are not among them; such a run's own folder may be given.
    """
    found = {*folder.glob(f"{depth}{RUN_FILE}"), *folder.glob(f"{depth}{SHARDS_FOLDER}/*/{RUN_FILE}")}
    current = (file for file in found if not is_moved_aside(file.relative_to(folder).parent))
    return sorted(file for file in current if not _is_merged_shard(file, folder))


def _is_merged_shard(file: Path, folder: Path) -> bool:
    """Whether a file is of a shard whose run lies in `folder` and was merged."""
    parts = file.relative_to(folder).parts
    return len(parts) > 2 and parts[-3] == SHARDS_FOLDER and (file.parents[2] / RUN_FILE).is_file()
