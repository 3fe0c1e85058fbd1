"""How an evaluation is going, on a terminal or in a log."""

import logging
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from calvinbench.harness import clock
from calvinbench.harness.description import RunDescription
from calvinbench.harness.records import ERRORED, NUM_SUBTASKS, ChainRecord

_LOG_SHARE = 10
"""Without a terminal, a line each time that so many percent more are done."""
_logger = logging.getLogger(__name__)


class RunningCount:
    """Success rates, average length and speed of a run so far."""

    def __init__(self, num_planned: int, finished: Sequence[ChainRecord]) -> None:
        """Begins with the chains that were finished before."""
        self.num_planned = num_planned
        self._completed = [record.completed for record in finished]
        self._num_errored = sum(record.outcome == ERRORED for record in finished)
        self._num_before = len(finished)
        self._began = clock.seconds()

    def add(self, record: ChainRecord) -> None:
        """Counts one more chain."""
        self._completed.append(record.completed)
        self._num_errored += record.outcome == ERRORED

    @property
    def num_finished(self) -> int:
        """Chains finished so far, earlier sessions included."""
        return len(self._completed)

    @property
    def chains_per_hour(self) -> float:
        """Speed of this session."""
        elapsed = clock.seconds() - self._began
        return 3600 * (self.num_finished - self._num_before) / elapsed if elapsed > 0 else 0.0

    def __str__(self) -> str:
        if not self._completed:
            return "no chain finished yet"
        count = self.num_finished
        rates = " ".join(
            f"{100 * sum(completed >= k for completed in self._completed) / count:.0f}"
            for k in range(1, NUM_SUBTASKS + 1)
        )
        errors = f", {self._num_errored} errored" if self._num_errored else ""
        return (
            f"{rates} % at 1-5, average {sum(self._completed) / count:.2f}{errors}, {self.chains_per_hour:.0f} chains/h"
        )


class LiveProgress:
    """A bar for each run on a terminal; a few log lines elsewhere. A subscriber and a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        """Shows itself on standard error, unless another console is given."""
        self._console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            # With what room is left: a narrow terminal cuts it and nothing else.
            TextColumn("{task.fields[count]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
            expand=True,
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._label = ""
        self._count = RunningCount(0, ())
        self._logged_share = 0

    def __enter__(self) -> "LiveProgress":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def run_began(self, description: RunDescription, finished: Sequence[ChainRecord]) -> None:
        """Adds a bar."""
        self._label = description.label
        self._count = RunningCount(description.chains, finished)
        self._logged_share = self._share()
        self._task = self._progress.add_task(
            self._label, total=description.chains, completed=len(finished), count=str(self._count)
        )
        if len(finished) == description.chains:
            self._log(f"all {description.chains} chains are there already")
        elif finished:
            self._log(f"going on after {len(finished)} of {description.chains} chains")
        else:
            self._log(f"{description.chains} chains")

    def chain_finished(self, record: ChainRecord) -> None:
        """Moves the bar on."""
        self._count.add(record)
        if self._task is not None:
            self._progress.update(self._task, advance=1, count=str(self._count))
        if self._share() >= self._logged_share + _LOG_SHARE:
            self._logged_share = self._share()
            self._log(f"{self._count.num_finished}/{self._count.num_planned} chains, {self._count}")

    def run_ended(self) -> None:
        """Leaves the bar as it is."""
        self._task = None

    def _share(self) -> int:
        return 100 * self._count.num_finished // max(self._count.num_planned, 1)

    def _log(self, words: str) -> None:
        if not self._console.is_terminal:
            _logger.info("%s: %s", self._label, words)
