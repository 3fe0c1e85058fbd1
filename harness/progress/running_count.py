"""A run's progress: success so far, speed, and the time left."""

from collections.abc import Sequence
from typing import NamedTuple

from calvinbench.harness import clock
from calvinbench.harness.durations import duration_text, speed_text
from calvinbench.harness.records.records import ERRORED, NUM_SUBTASKS, ChainRecord
from calvinbench.harness.rollout.positions import Positions

_LEAST_CHAINS = 5
"""With fewer chains, the time left is called a guess."""


class _Mark(NamedTuple):
    """The end of a chain.

    Attributes:
        seconds: Time of the end.
        num_chains: Chains that the session had done by then, including parts of running chains.
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
        """Starts with the chains of earlier sessions.

        Args:
            num_planned: Chains of the whole run.
            finished: Chains of earlier sessions.
            positions: Of the running chains; None for one world whose progress is not noted.
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
        """Counts a chain that ends now."""
        self._completed.append(record.completed)
        self.num_errored += record.outcome == ERRORED
        self._last_end = clock.seconds()
        self._chain_seconds += sum(subtask.seconds for subtask in record.subtasks)
        under_way = () if self._positions is None else self._positions.under_way()
        if not self._marks and self._positions is not None:  # the time before the first chain is spent only once
            first = max((position.seconds for position in under_way), default=0.0)
            self._began = max(self._began, self._last_end - max(first, self._chain_seconds))
        parts = self._parts([position.seconds for position in under_way])
        self._marks.append(_Mark(self._last_end, self.num_of_session + parts))

    def _parts(self, seconds: Sequence[float]) -> float:
        """The work done in running chains, in chains: the time of each, divided by the time of a chain.

        The time of a chain is the total time, of running chains too, divided by the number of ended chains. The mean of
        ended chains alone would be too small, because short chains end first.
        """
        length = (self._chain_seconds + sum(seconds)) / self.num_of_session
        return sum((min(each / length, 1.0) for each in seconds), start=0.0) if length > 0 else 0.0

    @property
    def num_finished(self) -> int:
        """Finished chains, including earlier sessions."""
        return len(self._completed)

    @property
    def num_of_session(self) -> int:
        """Chains finished in this session."""
        return self.num_finished - self._num_before

    @property
    def num_missing(self) -> int:
        """Chains that are not finished."""
        return max(0, self.num_planned - self.num_finished)

    @property
    def rates(self) -> tuple[float, ...]:
        """Shares of chains that completed at least 1, 2, ... subtasks; empty before the first chain."""
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
        """From the start of this session to the end of its last chain."""
        return self._last_end - self._began

    @property
    def seconds_per_chain(self) -> float | None:
        """Of this session, with all its worlds; None before half of the worlds ended a chain.

        The work of running chains counts. Once each world has ended two chains, the time before all worlds had ended
        their first chain is left out: first steps compile kernels and read weights.
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
        """Whether the time left is a guess, because few chains have ended."""
        return self.num_missing > 0 and self.num_of_session < max(_LEAST_CHAINS, 2 * self._num_worlds)

    @property
    def seconds_left(self) -> float | None:
        """Time until the run is complete, at this session's speed; None if that is not known yet."""
        return time_left(self.num_missing, self.seconds_per_chain, clock.seconds() - self._last_end)

    @property
    def chains_per_hour(self) -> float:
        """Speed of this session; 0 if it is not known yet."""
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
    """Seconds until a number of chains are done; None if some are missing and no speed is known.

    Args:
        num_missing: Number of chains.
        seconds_per_chain: The speed so far.
        seconds_since: Time since the last chain ended. It is subtracted; the result is never below 0.
    """
    if num_missing == 0:
        return 0.0
    return None if seconds_per_chain is None else max(0.0, num_missing * seconds_per_chain - seconds_since)
