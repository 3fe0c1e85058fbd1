"""How often a chain is tried. This module alone decides whether a chain whose run was cut short is run again.

A chain starts again from its beginning, so that its record does not depend on what went wrong before. If it has had all
its tries, it is recorded as errored. What a policy raises is a result, and is never a reason to try again, with one
exception: if a policy raises an error for several chains at once, each is tried alone, to find the one at fault.
"""

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from calvinbench.harness.rollout.jobs import ChainJob

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How often a chain is tried when something other than the policy fails.

    Attributes:
        max_tries: All tries of one chain, the first included.
        is_alone: Whether the chain is tried again with no other chain beside it. Then a chain at fault takes no other
            chain with it, and is known.
    """

    max_tries: int
    is_alone: bool


WORLD_FAILED = RetryRule(max_tries=2, is_alone=False)
"""A world raised an error, or its process died. It is made anew first."""
WORKER_DIED = RetryRule(max_tries=2, is_alone=True)
"""The process of a policy and its world died. Every chain that was under way in any process is suspect."""
REPLICA_LOST = RetryRule(max_tries=3, is_alone=True)
"""A replica on a cluster was lost, with its process or with its machine."""


@dataclass(slots=True)
class Attempt:
    """A chain that waits or is under way.

    Attributes:
        job: The chain.
        num_failures: How often its run was cut short.
    """

    job: ChainJob
    num_failures: int = 0

    @property
    def is_suspect(self) -> bool:
        """Whether its run was cut short before."""
        return self.num_failures > 0

    def may_try_again(self, rule: RetryRule, what_happened: str) -> bool:
        """Counts a failure.

        Args:
            rule: How often the chain is tried.
            what_happened: For the log.

        Returns:
            Whether the chain is to be tried again; the log says so then.
        """
        self.num_failures += 1
        if self.num_failures >= rule.max_tries:
            return False
        _log_retry(self.job, what_happened, rule.is_alone)
        return True


def _log_retry(job: ChainJob, what_happened: str, is_alone: bool) -> None:
    _logger.warning("%s; chain %d is tried again%s.", what_happened, job.number, ", alone" if is_alone else "")


class ChainQueue:
    """Chains that wait to be run. Those that are tried again come first."""

    def __init__(self, jobs: Iterable[ChainJob] = ()) -> None:
        """Fills the queue."""
        self._waiting: deque[Attempt] = deque()
        self.add(jobs)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, jobs: Iterable[ChainJob]) -> None:
        """Adds chains at the end."""
        self._waiting.extend(Attempt(job) for job in jobs)

    @property
    def next_is_suspect(self) -> bool:
        """Whether the next chain's run was cut short before."""
        return bool(self._waiting) and self._waiting[0].is_suspect

    def take(self) -> Attempt:
        """The next chain.

        Raises:
            IndexError: None is left.
        """
        return self._waiting.popleft()

    def put_back(self, attempt: Attempt) -> None:
        """Puts a chain that has not been started first in the queue."""
        self._waiting.appendleft(attempt)

    def retry(self, attempt: Attempt, rule: RetryRule, what_happened: str) -> bool:
        """Puts a chain whose run was cut short first in the queue; False if it has had all its tries."""
        if not attempt.may_try_again(rule, what_happened):
            return False
        self.put_back(attempt)
        return True

    def set_apart(self, attempt: Attempt, what_happened: str) -> None:
        """Adds a chain, at the end, that is tried alone without this being counted as a failure of its own."""
        _log_retry(attempt.job, what_happened, is_alone=True)
        self._waiting.append(attempt)
