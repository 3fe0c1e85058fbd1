"""What is known of a run while it goes on: success so far, speed, and the time that is left."""

from collections.abc import Sequence

from calvinbench.harness import clock
from calvinbench.harness.records import ERRORED, NUM_SUBTASKS, ChainRecord


class RunningCount:
    """Success rates, average length, speed and time left of a run so far."""

    def __init__(self, num_planned: int, finished: Sequence[ChainRecord], chain_length: int = NUM_SUBTASKS) -> None:
        """Begins with the chains that were finished before.

        Args:
            num_planned: Chains of the whole run.
            finished: What earlier sessions finished of it.
            chain_length: Subtasks in each chain.
        """
        self.num_planned = num_planned
        self.chain_length = chain_length
        self._completed = [record.completed for record in finished]
        self.num_errored = sum(record.outcome == ERRORED for record in finished)
        self._num_before = len(finished)
        self._began = self._last_end = clock.seconds()

    def add(self, record: ChainRecord) -> None:
        """Counts one more chain, which ended now."""
        self._completed.append(record.completed)
        self.num_errored += record.outcome == ERRORED
        self._last_end = clock.seconds()

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
        """Of this session, with all its worlds; None before its first chain ended."""
        return self.session_seconds / self.num_of_session if self.num_of_session else None

    @property
    def seconds_left(self) -> float | None:
        """Until the run is complete, at this session's speed; None before its first chain ended."""
        return time_left(self.num_missing, self.seconds_per_chain, clock.seconds() - self._last_end)

    @property
    def chains_per_hour(self) -> float:
        """Speed of this session; 0 before its first chain ended."""
        return 3600 / self.seconds_per_chain if self.seconds_per_chain else 0.0

    def __str__(self) -> str:
        if self.average_length is None:
            return "no chain finished yet"
        rates = " ".join(f"{100 * rate:.0f}" for rate in self.rates)
        errors = f", {self.num_errored} errored" if self.num_errored else ""
        left = "" if not self.num_missing or self.seconds_left is None else f", {in_words(self.seconds_left)} left"
        speed = f"{speed_in_words(self.chains_per_hour)} chains/h"
        at = "1" if self.chain_length == 1 else f"1-{self.chain_length}"
        return f"{rates} % at {at}, average {self.average_length:.2f}{errors}, {speed}{left}"


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


def in_words(seconds: float) -> str:
    """A duration as `2:05:09`; in days from 100 hours on."""
    whole = round(seconds)
    if whole >= 100 * 3600:
        return f"{whole / 86400:.1f} days"
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def speed_in_words(chains_per_hour: float) -> str:
    """Chains an hour, with a decimal where there are few."""
    return f"{chains_per_hour:.0f}" if chains_per_hour >= 10 else f"{chains_per_hour:.1f}"
