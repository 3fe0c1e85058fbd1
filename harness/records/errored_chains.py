"""Chains that errored: when a run that only errs is stopped, and how a chain that is run again takes its line."""

import json
import re
from typing import NamedTuple

from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.records.records import ERRORED, ChainRecord

MAX_ERRORS_IN_A_ROW = 10
"""Chains that error one after the other with the same reason, until the run is stopped: a server that is gone, a full
disk or a mistake in a policy would make errored chains of all that are left."""
_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+")


class OnlyErrorsError(RunFailedError):
    """Many chains in a row errored with the same reason."""


class FirstErrorError(RunFailedError):
    """A chain errored, and the run was to stop at that."""


class ErrorsInARow:
    """Counts them as chains end."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._count = 0

    def add(self, record: ChainRecord) -> bool:
        """Counts a chain; gives whether the run should be stopped. Numbers do not tell reasons apart."""
        reason = _VARYING.sub("#", record.error or "") if record.outcome == ERRORED else None
        self._count = self._count + 1 if reason == self._reason else 1
        self._reason = reason
        return reason is not None and self._count >= MAX_ERRORS_IN_A_ROW


class ReplacedLine(NamedTuple):
    """The lines of `chains.jsonl` with one replaced.

    Attributes:
        content: All lines.
        replaced: The one that was there.
    """

    content: bytes
    replaced: bytes


def replace_line(content: bytes, number: int, line: bytes) -> ReplacedLine:
    """Puts a chain's new line in the place of its old one; all others stay byte for byte.

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
    first = places[0]  # the one that counts
    kept = [line if place == first else old for place, old in enumerate(lines) if place not in places[1:]]
    return ReplacedLine(b"".join(kept), lines[first])
