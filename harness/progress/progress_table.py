"""The table that a terminal shows while policies run: a row a run, and one for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from calvinbench.harness.durations import duration_text, speed_text
from calvinbench.harness.progress.running_count import RunningCount, time_left
from calvinbench.harness.records.records import NUM_SUBTASKS

_LEAST_LABEL_WIDTH = 12
_NUM_OTHER_LINES = 4
"""Heading, total, a line that says how many runs are not shown, and the cursor's."""


@dataclass(slots=True)
class ProgressRow:
    """One run of those that were asked for.

    Attributes:
        label: What it is called.
        num_planned: Its chains.
        count: How it goes; None before it begins.
        is_over: Whether nothing more of it will come.
    """

    label: str
    num_planned: int
    count: RunningCount | None = None
    is_over: bool = False

    @property
    def num_missing(self) -> int:
        """Chains still to be run."""
        return self.num_planned if self.count is None else self.count.num_missing


class Total:
    """All runs together, at this session's speed."""

    def __init__(self, rows: Sequence[ProgressRow]) -> None:
        """Adds them up."""
        counts = [row.count for row in rows if row.count is not None]
        self._rows = rows
        self.num_over = sum(row.is_over for row in rows)
        self.num_planned = sum(row.num_planned for row in rows)
        self.num_finished = sum(count.num_finished for count in counts)
        self.num_errored = sum(count.num_errored for count in counts)
        timed = [count for count in counts if count.seconds_per_chain is not None]
        num_timed = sum(count.num_of_session for count in timed)
        seconds = sum((count.seconds_per_chain or 0.0) * count.num_of_session for count in timed)
        self._seconds_per_chain = seconds / num_timed if num_timed else None

    @property
    def is_rough(self) -> bool:
        """Whether the time left is a guess: so it is for runs that have not begun, whose policies may be slower."""
        return any(row.num_missing > 0 and (row.count is None or row.count.is_rough) for row in self._rows)

    @property
    def chains_per_hour(self) -> float:
        """Speed of this session over all runs; 0 where none is known yet."""
        return 3600 / self._seconds_per_chain if self._seconds_per_chain else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until all runs are complete: each at its own speed, at that of all where it has none yet."""
        lefts = [self._left(row) for row in self._rows if not row.is_over]
        known = [left for left in lefts if left is not None]
        return sum(known) if len(known) == len(lefts) else None

    def _left(self, row: ProgressRow) -> float | None:
        if row.count is not None and row.count.seconds_left is not None:
            return row.count.seconds_left
        return time_left(row.num_missing, self._seconds_per_chain, 0.0)


def progress_table(rows: Sequence[ProgressRow], width: int, height: int | None = None) -> Table:
    """The table, for a terminal of so many columns; labels are shortened to what room is left.

    Args:
        rows: The runs, in the order in which they are run.
        width: Columns of the terminal.
        height: Lines of the terminal; with fewer than there are runs, those next to the one under way are shown. None
            shows all.
    """
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    length = _longest_chain(rows)
    widths = _widths(length)
    label_width = max(_LEAST_LABEL_WIDTH, width - sum(widths.values()) - len(widths))
    table.add_column("Policy", no_wrap=True, width=label_width)
    for heading, column_width in widths.items():
        table.add_column(heading, no_wrap=True, justify="right", width=column_width)
    shown = _shown(rows, len(rows) if height is None else max(1, height - _NUM_OTHER_LINES))
    for row in rows[shown]:
        table.add_row(Text(shortened(row.label, label_width)), *_cells(row, length))
    num_hidden = len(rows) - len(rows[shown])
    if num_hidden:
        table.add_row(Text(f"({num_hidden} more)"))
    if len(rows) > 1:
        table.add_row(*_total_cells(rows, length), style="bold")
    return table


def _shown(rows: Sequence[ProgressRow], most: int) -> slice:
    """Which rows have room: the first that is not over with one before it, and what follows."""
    current = next((place for place, row in enumerate(rows) if not row.is_over), len(rows))
    first = max(0, min(current - 1, len(rows) - most))
    return slice(first, first + most)


def _longest_chain(rows: Sequence[ProgressRow]) -> int:
    """Subtasks of the longest chains; CALVIN's five as long as no run has begun."""
    return max((row.count.chain_length for row in rows if row.count is not None), default=NUM_SUBTASKS)


def _widths(chain_length: int) -> dict[str, int]:
    """Heading and width of what stands behind the label, of numbers as large as they get."""
    rates = {str(k): 3 for k in range(1, chain_length + 1)}
    return {"Chains": 9} | rates | {"Avg.": 4, "Err.": 4, "Ch./h": 5, "Left": 9}


def _cells(row: ProgressRow, chain_length: int) -> list[str]:
    count = row.count
    if count is None:
        return [f"0/{row.num_planned}"]
    rates = [f"{100 * rate:.0f}" for rate in count.rates]
    rates += [""] * (chain_length - len(rates))
    average = "" if count.average_length is None else f"{count.average_length:.2f}"
    speed = speed_text(count.chains_per_hour) if count.chains_per_hour else ""
    left = "" if count.seconds_left is None else _about(count.seconds_left, count.is_rough)
    if row.is_over:
        left = "stopped" if count.num_missing else "done"
    return [f"{count.num_finished}/{row.num_planned}", *rates, average, _errors(count.num_errored), speed, left]


def _total_cells(rows: Sequence[ProgressRow], chain_length: int) -> list[str]:
    total = Total(rows)
    speed = speed_text(total.chains_per_hour) if total.chains_per_hour else ""
    left = "" if total.seconds_left is None else _about(total.seconds_left, total.is_rough)
    rates = [""] * (chain_length + 1)
    name = f"{total.num_over} of {len(rows)} runs"
    return [name, f"{total.num_finished}/{total.num_planned}", *rates, _errors(total.num_errored), speed, left]


def _about(seconds: float, is_rough: bool) -> str:
    """A duration; `~` stands before a guess."""
    return f"~{duration_text(seconds)}" if is_rough else duration_text(seconds)


def _errors(count: int) -> str:
    return str(count) if count else ""


def shortened(text: str, width: int) -> str:
    """A label that fits: its middle is left out, for beginning and end tell policies apart."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"
