"""A run that is read from its folder, for tables, figures and notebooks."""

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
from calvinbench.harness.records.policy_name import policy_name
from calvinbench.harness.records.records import ERRORED, ChainRecord
from calvinbench.harness.records.run_directory import CHAINS_FILE, RUN_FILE, SHARDS_FOLDER, read_description
from calvinbench.harness.records.stored_chains import read_chains

FRAME_COLUMNS = (
    *("policy", "label", "chain", "position", "task", "instruction", "outcome", "success", "steps", "seconds"),
    *("policy_ms", "world_ms", "action_change", "gripper_changes"),
    *("completed", "chain_outcome", "error", "initial_state", "lead_in"),
)
"""Of `Run.frame`."""


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """A run: one policy's chains.

    Attributes:
        directory: The run's folder.
        description: The content of `run.json`.
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
        """The policy's short name, as in tables before policies of one name are distinguished."""
        return policy_name(self.description).name

    @property
    def completed(self) -> Int64[np.ndarray, " chains"]:
        """Subtasks completed in each finished chain, from 0 to `chain_length`."""
        return np.array([record.completed for record in self.records], dtype=np.int64)

    @property
    def chain_length(self) -> int:
        """Number of subtasks in each chain: five in CALVIN's chains, one for single tasks."""
        return self.description.num_subtasks

    @property
    def num_errored(self) -> int:
        """Chains in which the policy or the world raised an error."""
        return sum(record.outcome == ERRORED for record in self.records)

    @property
    def num_missing(self) -> int:
        """Number of planned chains that are not finished."""
        return self.description.chains - len(self.records)

    def only(self, numbers: Collection[int]) -> "Run":
        """The run as if it had finished only these chains."""
        chosen = set(numbers)
        return replace(self, records=tuple(record for record in self.records if record.chain in chosen))

    def frame(self) -> pd.DataFrame:
        """One row for each subtask that was reached, with the number and the result of its chain.

        The share of successes of each task is `run.frame().groupby("task").success.mean()`. Columns:

        - `policy`, `label`: the policy's spec, and the run's name in tables;
        - `chain`, `position`: the chain's number from 0, and the subtask's position in it from 1;
        - `task`, `instruction`: the task's name, and the instruction that the policy got;
        - `outcome`, `success`: `solved`, `timed_out` or `errored`, and whether it is `solved` (boolean);
        - `steps`, `seconds`: number of actions, and wall-clock time;
        - `policy_ms`, `world_ms`: mean milliseconds per step that policy and world took;
        - `action_change`, `gripper_changes`: see `SubtaskRecord`; missing in older records;
        - `completed`, `chain_outcome`, `error`: of the whole chain; `error` is None without an error;
        - `initial_state`: as JSON; chains with the same initial state have the same text;
        - `lead_in`: the expert's tasks before the first subtask, separated by spaces.

        A run without finished chains has these columns and no rows.
        """
        rows = [
            {"policy": self.description.policy, "label": self.name}
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
        ValueError: There is no run in it, or something else changed its files.
    """
    directory = Path(path)
    description = read_description(directory)
    records = read_chains(directory / CHAINS_FILE, description).records
    return Run(directory, _with_chain_length(description, records), records)


def _with_chain_length(description: RunDescription, records: Collection[ChainRecord]) -> RunDescription:
    """Adds the chain length to the description of an older run with chains of another length; solved chains show it."""
    lengths = {record.completed for record in records if record.outcome == SOLVED}
    if description.chain_length is not None or len(lengths) != 1 or lengths == {description.num_subtasks}:
        return description
    return replace(description, chain_length=lengths.pop())


def find_runs(*paths: str | Path) -> tuple[Run, ...]:
    """Reads the runs in folders, in the order of their creation. A folder is a run's own folder, or holds several runs.

    Runs deeper in a folder, such as those of a suite, are read only if the folder has no runs directly. Shards of a
    merged run are not read again. Shards of a run that was not merged are read as runs with missing chains.

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
    """The `run.json` files at a depth of a folder, including those of shards that were not merged.

    Runs that were moved aside are left out, unless the folder is such a run's own.
    """
    found = {*folder.glob(f"{depth}{RUN_FILE}"), *folder.glob(f"{depth}{SHARDS_FOLDER}/*/{RUN_FILE}")}
    current = (file for file in found if not is_moved_aside(file.relative_to(folder).parent))
    return sorted(file for file in current if not _is_merged_shard(file, folder))


def _is_merged_shard(file: Path, folder: Path) -> bool:
    """Whether a file is of a shard of a merged run in `folder`."""
    parts = file.relative_to(folder).parts
    return len(parts) > 2 and parts[-3] == SHARDS_FOLDER and (file.parents[2] / RUN_FILE).is_file()
