"""A run that is split into shards, for several machines that do not communicate, and merged again.

Shard i of n has the chains with number % n == i - 1. It is a run of its own, in the folder `shards/` of the run.
Merging reads all shards and writes the run's records. Shards may be merged while other shards still run.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calvinbench.harness.records.description import RunDescription, differences
from calvinbench.harness.records.folders import locked_folder, write_text_atomically
from calvinbench.harness.records.old_runs import is_moved_aside
from calvinbench.harness.records.records import ERRORED, ChainRecord
from calvinbench.harness.records.run_directory import CHAINS_FILE, RUN_FILE, SHARDS_FOLDER, RunMismatchError
from calvinbench.harness.records.runs import Run, load_run
from calvinbench.harness.records.stored_chains import read_chains


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard of a run.

    Attributes:
        index: From 1.
        count: Number of shards.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Reads `i/n`.

        Raises:
            ValueError: The text has another form, or i is not in 1..n.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text.strip(), re.ASCII)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise ValueError(f"expected a shard i/n with i from 1 to n, such as 2/8, got '{text}'.")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def holds(self, number: int) -> bool:
        """Whether a chain is in this shard."""
        return number % self.count == self.index - 1

    def folder(self, run: Path) -> Path:
        """The folder of this shard of a run."""
        return run / SHARDS_FOLDER / f"{self.index}-of-{self.count}"


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged run.

    Attributes:
        run: The run.
        num_shards: Number of its shards.
    """

    run: Run
    num_shards: int


def merge(*folders: str | Path) -> tuple[Merged, ...]:
    """Merges every run below some folders that has shards. What was merged before stays.

    Raises:
        ValueError: There is no shard below a folder.
        RunMismatchError: The shards are of different runs; the message lists the fields that differ.
        RunLockedError: Another process writes to a run.
        OSError: A run cannot be written.
    """
    found: dict[Path, None] = {}
    for folder in map(Path, folders):
        files = folder.glob(f"**/{SHARDS_FOLDER}/*/{RUN_FILE}")
        current = (file for file in files if not is_moved_aside(file.relative_to(folder).parent))
        runs = sorted({file.parent.parent.parent for file in current})
        if not runs:
            raise ValueError(f"expected a folder with shards of runs (run --shard i/n), found none below '{folder}'.")
        found |= dict.fromkeys(runs)
    return tuple(_merge(run) for run in found)


def _merge(folder: Path) -> Merged:
    files = sorted((folder / SHARDS_FOLDER).glob(f"*/{RUN_FILE}"))
    parts = [load_run(file.parent) for file in files if not is_moved_aside(Path(file.parent.name))]
    whole = [load_run(folder)] if (folder / RUN_FILE).exists() else []
    with locked_folder(folder):
        description = _common(folder, whole, parts)
        records: dict[int, ChainRecord] = {}
        for run in (*whole, *parts):
            for record in run.records:
                kept = records.setdefault(record.chain, record)
                if kept.outcome == ERRORED and record.outcome != ERRORED:  # it was run again in its shard
                    records[record.chain] = record
        lines = [json.dumps(records[number].to_json()) + "\n" for number in sorted(records)]
        write_text_atomically(folder / CHAINS_FILE, "".join(lines))
        text = json.dumps(description.to_json(), indent=2, ensure_ascii=False) + "\n"
        write_text_atomically(folder / RUN_FILE, text)
    return Merged(Run(folder, description, read_chains(folder / CHAINS_FILE, description).records), len(parts))


def _common(folder: Path, whole: Sequence[Run], parts: Sequence[Run]) -> RunDescription:
    """The description of all shards, with the sessions of all."""
    runs = [*whole, *parts]
    first = runs[0].description
    for run in runs[1:]:
        unlike = list(differences(first, run.description))
        listed = [f"  {difference}" for difference in unlike]
        if (run.description.chains, run.description.chain_digest) != (first.chains, first.chain_digest):
            listed.append(f"  chains were {first.chains} and are now {run.description.chains}, or of another list")
        if listed:
            raise RunMismatchError(
                f"expected shards of one run in '{folder}', but '{runs[0].directory}' and '{run.directory}' differ in\n"
                + "\n".join(listed)
                + "\nRun the wrong one again."
            )
    sessions = [session for part in parts for session in part.description.sessions]
    merged_before = [session for run in whole for session in run.description.sessions if session not in sessions]
    return replace(first, sessions=(*merged_before, *sessions))
