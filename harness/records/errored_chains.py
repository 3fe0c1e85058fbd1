"""Errored chains: when a run with only errors is stopped, and how the record of a chain is replaced."""

import json
import re
from typing import NamedTuple

from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.records.records import ERRORED, ChainRecord

MAX_ERRORS_IN_A_ROW = 10
"""The run stops after so many chains in a row errored for the same reason. Otherwise an unreachable server, a full disk
or a mistake in a policy would make all remaining chains errored."""
_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+")


class OnlyErrorsError(RunFailedError):
    """Many chains in a row errored for the same reason."""


class FirstErrorError(RunFailedError):
    """A chain errored, and the run stops at its first error."""


class ErrorsInARow:
    """Counts errored chains in a row."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._count = 0

    def add(self, record: ChainRecord) -> bool:
        """Counts a chain and returns whether to stop the run. Reasons that differ only in numbers count as the same."""
        reason = _VARYING.sub("#", record.error or "") if record.outcome == ERRORED else None
        self._count = self._count + 1 if reason == self._reason else 1
        self._reason = reason
        return reason is not None and self._count >= MAX_ERRORS_IN_A_ROW


class ReplacedLine(NamedTuple):
    """The lines of `chains.jsonl` with one replaced.

    Attributes:
        content: All lines.
        replaced: The old line.
    """

    content: bytes
    replaced: bytes


def replace_line(content: bytes, number: int, line: bytes) -> ReplacedLine:
    """Replaces the line of a chain. All other lines stay the same to the byte.

    Args:
        content: Whole lines of `chains.jsonl`.
        number: The chain's number.
        line: Its new line.

    Raises:
        ValueError: The chain has no line.
    """
    lines = content.splitlines(keepends=True)
    places = [place for place, old in enumerate(lines) if json.loads(old)["chain"] == number]
    if not places:
        raise ValueError(f"expected a line of chain {number}, found none.")
    first = places[0]  # the line that counts
    kept = [line if place == first else old for place, old in enumerate(lines) if place not in places[1:]]
    return ReplacedLine(b"".join(kept), lines[first])
