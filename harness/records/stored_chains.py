"""Reads the chains of a run from `chains.jsonl`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from calvinbench.envs.chain_env import SOLVED
from calvinbench.harness.records.description import RunDescription
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.records.typed_reading import InvalidFieldError


class StoredChains(NamedTuple):
    """The content of `chains.jsonl`.

    Attributes:
        records: One for each chain, by number.
        valid_bytes: Length of the file without an incomplete last line.
    """

    records: tuple[ChainRecord, ...]
    valid_bytes: int


def read_chains(path: Path, description: RunDescription | None = None) -> StoredChains:
    """Reads finished chains without an incomplete last line. If a chain has two lines, the first one counts.

    Args:
        path: The file.
        description: Of the run, with which the chains must agree; None if it is not known.

    Raises:
        ValueError: A line before the last is not JSON, or a line is not the record of a chain of this run.
    """
    if not path.exists():
        return StoredChains((), 0)
    records: dict[int, ChainRecord] = {}
    lines = path.read_bytes().splitlines(keepends=True)
    valid_bytes = 0
    for number, line in enumerate(lines, start=1):
        try:
            if not line.endswith(b"\n"):
                raise ValueError("the line has no end")
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break
            raise _not_a_chain(number, path, f"got {line[:80]!r} ({error})") from error
        if not _is_again(values, records):
            try:
                record = ChainRecord.from_json(values)
                if description is not None:
                    _require_of_run(record, description)
            except ValueError as error:
                raise _not_a_chain(number, path, f"got something invalid: {error}") from error
            records[record.chain] = record
        valid_bytes += len(line)
    return StoredChains(tuple(records[number] for number in sorted(records)), valid_bytes)


def _is_again(values: Any, records: Mapping[int, ChainRecord]) -> bool:
    """Whether a line is of a chain that had a line before, and so is ignored."""
    number = values.get("chain") if isinstance(values, dict) else None
    return isinstance(number, int) and not isinstance(number, bool) and number in records


def _not_a_chain(number: int, path: Path, found: str) -> ValueError:
    return ValueError(
        f"expected a finished chain in line {number} of '{path}', {found}. "
        "Something else changed the file; repair the line, or remove it and run the chain again."
    )


def _require_of_run(record: ChainRecord, description: RunDescription) -> None:
    """Raises an error for a chain that the run cannot have.

    Raises:
        InvalidFieldError: Its number or its length does not fit the run.
    """
    if record.chain >= description.chains:
        raise InvalidFieldError(
            "chain", f"a number below {description.chains}, the run's number of chains", record.chain
        )
    length = description.chain_length
    if length is None:  # an older run; its chains may have any length
        return
    if len(record.subtasks) > length:
        raise InvalidFieldError("subtasks", f"at most {length}, the length of the run's chains", len(record.subtasks))
    if record.outcome == SOLVED and record.completed < length:
        raise InvalidFieldError("outcome", f"not '{SOLVED}' below {length} solved subtasks", record.outcome)
