"""The table on a terminal while policies run: a row for each run, and one for all runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from calvinbench.harness.durations import duration_text, speed_text
from calvinbench.harness.progress.running_count import RunningCount, time_left
from calvinbench.harness.records.records import NUM_SUBTASKS

_LEAST_LABEL_WIDTH = 12
_NUM_OTHER_LINES = 4
"""The heading, the total, the line that counts hidden runs, and the cursor's line."""


@dataclass(slots=True)
class ProgressRow:
    """A row of the table: one run.

    Attributes:
        label: Its name.
        num_planned: Number of its chains.
        count: Its progress; None before it begins.
        is_over: Whether it is complete or was stopped.
    """

    label: str
    num_planned: int
    count: RunningCount | None = None
    is_over: bool = False

    @property
    def num_missing(self) -> int:
        """Chains that are not finished."""
        return self.num_planned if self.count is None else self.count.num_missing


class Total:
    """All runs together, at this session's speed."""

    def __init__(self, rows: Sequence[ProgressRow]) -> None:
        """Adds up the rows."""
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
        """Whether the time left is a guess. It is while a run has not begun, because its policy may be slower."""
        return any(row.num_missing > 0 and (row.count is None or row.count.is_rough) for row in self._rows)

    @property
    def chains_per_hour(self) -> float:
        """Speed of this session over all runs; 0 if it is not known yet."""
        return 3600 / self._seconds_per_chain if self._seconds_per_chain else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time until all runs are complete. A run without a speed of its own gets the speed of all runs."""
        lefts = [self._left(row) for row in self._rows if not row.is_over]
        known = [left for left in lefts if left is not None]
        return sum(known) if len(known) == len(lefts) else None

    def _left(self, row: ProgressRow) -> float | None:
        if row.count is not None and row.count.seconds_left is not None:
            return row.count.seconds_left
        return time_left(row.num_missing, self._seconds_per_chain, 0.0)


def progress_table(rows: Sequence[ProgressRow], width: int, height: int | None = None) -> Table:
    """The table. Labels are shortened to the remaining width.

    Args:
        rows: The runs, in their order.
        width: Columns of the terminal.
        height: Lines of the terminal. If there are more runs, only those next to the current run are shown. None shows
            all.
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
    """The rows to show: one finished run, the current run, and the runs after it."""
    current = next((place for place, row in enumerate(rows) if not row.is_over), len(rows))
    first = max(0, min(current - 1, len(rows) - most))
    return slice(first, first + most)


def _longest_chain(rows: Sequence[ProgressRow]) -> int:
    """Number of subtasks of the longest chains; CALVIN's five before any run has begun."""
    return max((row.count.chain_length for row in rows if row.count is not None), default=NUM_SUBTASKS)


def _widths(chain_length: int) -> dict[str, int]:
    """Heading and width of the columns after the label, wide enough for the largest numbers."""
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
    """A duration, with `~` before a guess."""
    return f"~{duration_text(seconds)}" if is_rough else duration_text(seconds)


def _errors(count: int) -> str:
    return str(count) if count else ""


def shortened(text: str, width: int) -> str:
    """Shortens a label in the middle, because its beginning and end distinguish policies."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"
