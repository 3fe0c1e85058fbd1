"""What is known of a run while it goes on: success so far, speed, and the time that is left."""

from collections.abc import Sequence
from typing import NamedTuple

from calvinbench.harness import clock
from calvinbench.harness.durations import duration_text, speed_text
from calvinbench.harness.records.records import ERRORED, NUM_SUBTASKS, ChainRecord
from calvinbench.harness.rollout.positions import Positions

_LEAST_CHAINS = 5
"""With fewer, the time left is called a guess."""


class _Mark(NamedTuple):
    """The end of a chain.

    Attributes:
        seconds: When.
        num_chains: Chains that the session had done then, parts of those under way included.
    """

    seconds: float
    num_chains: float


class RunningCount:
    """Success rates, average length, speed and time left of a run so far."""

    def __init__(
        self,
        num_planned: int,
        finished: Sequence[ChainRecord],
        positions: Positions | None = None,
        chain_length: int = NUM_SUBTASKS,
    ) -> None:
        """Begins with the chains that were finished before.

        Args:
            num_planned: Chains of the whole run.
            finished: What earlier sessions finished of it.
            positions: Tells how many worlds there are, and how long their chains are under way; None for one world.
            chain_length: Subtasks in each chain.
        """
        self.num_planned = num_planned
        self.chain_length = chain_length
        self._positions = positions
        self._num_worlds = 1 if positions is None else positions.num_worlds
        self._completed = [record.completed for record in finished]
        self.num_errored = sum(record.outcome == ERRORED for record in finished)
        self._num_before = len(finished)
        self._began = self._last_end = clock.seconds()
        self._chain_seconds = 0.0
        self._marks: list[_Mark] = []

    def add(self, record: ChainRecord) -> None:
        """Counts one more chain, which ended now."""
        self._completed.append(record.completed)
        self.num_errored += record.outcome == ERRORED
        self._last_end = clock.seconds()
        self._chain_seconds += sum(subtask.seconds for subtask in record.subtasks)
        under_way = () if self._positions is None else self._positions.under_way()
        if not self._marks and self._positions is not None:  # what went before the first chain comes but once
            first = max((position.seconds for position in under_way), default=0.0)
            self._began = max(self._began, self._last_end - max(first, self._chain_seconds))
        parts = self._parts([position.seconds for position in under_way])
        self._marks.append(_Mark(self._last_end, self.num_of_session + parts))

    def _parts(self, seconds: Sequence[float]) -> float:
        """How many chains those under way are worth: each its time, in lengths of a chain.

        A chain's length is the time of all, those under way too, over the number that ended: those that end first are
        the short ones, and their mean alone would promise too much.
        """
        length = (self._chain_seconds + sum(seconds)) / self.num_of_session
        return sum((min(each / length, 1.0) for each in seconds), start=0.0) if length > 0 else 0.0

    @property
    def num_finished(self) -> int:
        """Chains finished so far, earlier sessions included."""
        return len(self._completed)

    @property
    def num_of_session(self) -> int:
        """Chains that this session finished."""
        return self.num_finished - self._num_before

    @property
    def num_missing(self) -> int:
        """Chains still to be run."""
        return max(0, self.num_planned - self.num_finished)

    @property
    def rates(self) -> tuple[float, ...]:
        """Shares of chains that completed at least 1, 2, ... subtasks, up to all; empty before the first chain."""
        count = self.num_finished
        return tuple(
            sum(done >= k for done in self._completed) / count for k in range(1, self.chain_length + 1) if count
        )

    @property
    def average_length(self) -> float | None:
        """Mean number of subtasks completed; None before the first chain."""
        return sum(self._completed) / self.num_finished if self._completed else None

    @property
    def session_seconds(self) -> float:
        """From this session's beginning to its last chain's end."""
        return self._last_end - self._began

    @property
    def seconds_per_chain(self) -> float | None:
        """Of this session, with all its worlds; None before half of the worlds ended a chain.

        The work of chains that are under way counts. Once each world has ended two, what came before all had ended
        their first one counts no more: first steps compile kernels and read weights.
        """
        count, first = self.num_of_session, self._num_worlds
        if count == 0 or 2 * count < self._num_worlds:
            return None
        last = self._marks[-1]
        if count <= 2 * first:
            return (last.seconds - self._began) / last.num_chains
        return (last.seconds - self._marks[first - 1].seconds) / (last.num_chains - self._marks[first - 1].num_chains)

    @property
    def is_rough(self) -> bool:
        """Whether so few chains ended that the time left is a guess."""
        return self.num_missing > 0 and self.num_of_session < max(_LEAST_CHAINS, 2 * self._num_worlds)

    @property
    def seconds_left(self) -> float | None:
        """Until the run is complete, at this session's speed; None where that is not known yet."""
        return time_left(self.num_missing, self.seconds_per_chain, clock.seconds() - self._last_end)

    @property
    def chains_per_hour(self) -> float:
        """Speed of this session; 0 where it is not known yet."""
        return 3600 / self.seconds_per_chain if self.seconds_per_chain else 0.0

    def __str__(self) -> str:
        if self.average_length is None:
            return "no chain finished yet"
        rates = " ".join(f"{100 * rate:.0f}" for rate in self.rates)
        errors = f", {self.num_errored} errored" if self.num_errored else ""
        about = "about " if self.is_rough else ""
        known = self.num_missing > 0 and self.seconds_left is not None
        left = f", {about}{duration_text(self.seconds_left or 0.0)} left" if known else ""
        speed = f", {speed_text(self.chains_per_hour)} chains/h" if self.chains_per_hour else ""
        at = "1" if self.chain_length == 1 else f"1-{self.chain_length}"
        return f"{rates} % at {at}, average {self.average_length:.2f}{errors}{speed}{left}"


def time_left(num_missing: int, seconds_per_chain: float | None, seconds_since: float) -> float | None:
    """Seconds until so many chains are done; None where no speed is known and something is missing.

    Args:
        num_missing: Chains.
        seconds_per_chain: The speed so far.
        seconds_since: How long ago the last chain ended; the time left goes down with it, and never below 0.
    """
    if num_missing == 0:
        return 0.0
    return None if seconds_per_chain is None else max(0.0, num_missing * seconds_per_chain - seconds_since)
