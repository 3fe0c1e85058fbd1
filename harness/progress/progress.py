"""Shows the progress of an evaluation, on a terminal or in a log."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from calvinbench.envs.task_chains import single_task_chains
from calvinbench.harness import clock
from calvinbench.harness.counted import counted
from calvinbench.harness.durations import duration_text
from calvinbench.harness.progress.progress_table import ProgressRow, Total, progress_table
from calvinbench.harness.progress.running_count import RunningCount
from calvinbench.harness.records.description import RunDescription
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.records.shards import Shard
from calvinbench.harness.rollout.positions import ChainPosition, Positions, listed
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.harness.suite.suite import Suite

_LOG_SHARE = 10
"""Without a terminal, one log line for each of these steps, in percent."""
_REFRESHES_PER_SECOND = 2
_MAX_UNDER_WAY = 4
"""The most lines below the table for running chains."""
QUIET_SECONDS, LATER_QUIET_SECONDS = 60.0, 600.0
"""Without a terminal, the longest time without a log line: before the first chain of a run has ended, and after."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run that will begin.

    Attributes:
        policy: The policy's spec, shown until its label is known.
        value: What distinguishes it from other runs of the policy, such as `seed 7`; empty if there is only one.
        num_chains: Number of its chains.
    """

    policy: str
    value: str
    num_chains: int

    def name(self, label: str) -> str:
        """The run's name, given its policy's label."""
        return f"{self.value}: {label}" if self.value else label


def planned_runs(suite: Suite) -> tuple[PlannedRun, ...]:
    """The runs of a suite, in their order. With a shard, only its chains count."""
    return tuple(PlannedRun(run.policy, _value(suite, run), _num_chains(suite, run)) for run in suite.runs)


def _value(suite: Suite, run: RunSettings) -> str:
    names = [name for name in suite.varied if len(suite.values(name)) > 1]
    return ", ".join(f"{name.replace('_', ' ')} {getattr(run, name)}" for name in names)


def _num_chains(suite: Suite, run: RunSettings) -> int:
    whole = len(single_task_chains(run.tasks, run.chains)) if run.tasks else run.chains
    shard = None if suite.shard is None else Shard.parse(suite.shard)
    return whole if shard is None else sum(shard.holds(number) for number in range(whole))


class LiveProgress:
    """Shows a table with a row for each run, or log lines without a terminal. A subscriber and a context manager."""

    def __init__(self, console: Console | None = None, planned: Sequence[PlannedRun] = ()) -> None:
        """Prepares the display.

        Args:
            console: Where to show it; None for standard error.
            planned: Runs that will begin, in their order. Other runs get a row when they begin.
        """
        self._console = console or Console(stderr=True)
        self._planned = tuple(planned)
        self._rows = [ProgressRow(run.name(run.policy), run.num_chains) for run in self._planned]
        self._num_begun = 0
        self._is_over = False
        self._positions: Positions | None = None
        self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=_REFRESHES_PER_SECOND)
        self._label = ""
        self._logged_share = 0
        self._logged_at = self._began_at = clock.seconds()
        self._ended = threading.Event()

    def __enter__(self) -> "LiveProgress":
        if self._console.is_terminal:
            self._live.start()
        else:
            threading.Thread(target=self._log_now_and_then, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        self._ended.set()
        self._live.stop()

    def _log_now_and_then(self) -> None:
        """Runs in a thread, so that there is a log line now and then while a slow policy runs."""
        while not self._ended.wait(1.0):
            self.log_if_quiet()

    def log_if_quiet(self) -> None:
        """Without a terminal: logs the progress of the running chains, if nothing was logged for some time."""
        row = self._rows[self._num_begun - 1] if self._num_begun else None
        if row is None or row.count is None or row.is_over or not row.count.num_missing:
            return
        quiet = LATER_QUIET_SECONDS if row.count.num_of_session else QUIET_SECONDS
        if clock.seconds() - self._logged_at < quiet:
            return
        lines = listed(self._under_way(), _MAX_UNDER_WAY) or ["no step taken yet"]
        done = f"{row.count.num_finished}/{row.count.num_planned} chains"
        self._log(f"{done} after {duration_text(clock.seconds() - self._began_at)}; {'; '.join(lines)}")

    def positions_known(self, positions: Positions) -> None:
        """Takes the positions of the next run."""
        self._positions = positions

    def _under_way(self) -> tuple[ChainPosition, ...]:
        return () if self._positions is None or self._is_over else self._positions.under_way()

    def run_began(self, description: RunDescription, finished: Sequence[ChainRecord]) -> None:
        """Starts to count in the run's row."""
        self._label = description.name
        if self._num_begun == len(self._rows):
            self._rows.append(ProgressRow(description.name, description.chains))
        row = self._rows[self._num_begun]
        if self._num_begun < len(self._planned):
            row.label = self._planned[self._num_begun].name(description.name)
        row.count = RunningCount(row.num_planned, finished, self._positions, description.num_subtasks)
        self._num_begun += 1
        self._began_at = clock.seconds()
        self._logged_share = self._share(row.count)
        if not row.count.num_missing:  # on a terminal too, because the row would look like that of a new run
            self._say(
                "the only chain is there already"
                if row.num_planned == 1
                else f"all {row.num_planned} chains are there already"
            )
        elif finished:
            self._log(f"going on after {len(finished)} of {row.num_planned} chains")
        else:
            self._log(counted(row.num_planned, "chain"))

    def chain_finished(self, record: ChainRecord) -> None:
        """Counts a chain."""
        count = self._rows[self._num_begun - 1].count
        if count is None:
            return
        count.add(record)
        if self._share(count) >= self._logged_share + _LOG_SHARE:
            self._logged_share = self._share(count)
            self._log(f"{count.num_finished}/{count.num_planned} chains, {count}{self._suite_left()}")

    def run_ended(self) -> None:
        """Stops counting in the run's row."""
        self._rows[self._num_begun - 1].is_over = True
        self._positions = None

    def _table(self) -> RenderableType:
        under_way = [Text(f"  {line}", style="dim") for line in listed(self._under_way(), _MAX_UNDER_WAY)]
        height = None if self._is_over else self._console.height - len(under_way)
        return Group(progress_table(self._rows, self._console.width, height), *under_way)

    @staticmethod
    def _share(count: RunningCount) -> int:
        return 100 * count.num_finished // max(count.num_planned, 1)

    def _suite_left(self) -> str:
        """The time left for all runs, if more runs follow."""
        total = Total(self._rows)
        left = total.seconds_left
        if self._num_begun == len(self._rows) or left is None:
            return ""
        return f", all runs {'about ' if total.is_rough else ''}{duration_text(left)}"

    def _log(self, words: str) -> None:
        self._logged_at = clock.seconds()
        if not self._console.is_terminal:
            self._say(words)

    def _say(self, words: str) -> None:
        place = f"run {self._num_begun} of {len(self._rows)}, " if len(self._rows) > 1 else ""
        _logger.info("%s%s: %s", place, self._label, words)
