"""Limits the time that a policy or a world may take for one step."""

import faulthandler
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from types import FrameType

from calvinbench.harness import clock

GRACE_SECONDS = 10.0
"""Extra time, after the limit, for native code that does not return to Python. Then its process is ended."""
RESET_SECONDS = 600.0
"""The shortest limit of a reset, which may make the world, compile its code, and let the expert play a lead-in."""
_LONGEST_SECONDS = 1e9
"""About the longest alarm that the operating system takes; 30 years."""
_AGAIN_SECONDS = 1.0
"""The alarm rings again after this time, because Python drops an error that it raises in `__del__` or in the callback
of a weak reference."""


class StepTimeoutError(RuntimeError):
    """A policy or a world did not answer in time."""


@dataclass(frozen=True, slots=True)
class StepLimit:
    """The time limits of this process.

    Attributes:
        seconds: For the policy's answer, and separately for the world's step; 0 for no limit.
        ends_process: Whether to end the process if native code never returns, see `time_limit`.
    """

    seconds: float = 0.0
    ends_process: bool = False

    def of_policy(self) -> AbstractContextManager[None]:
        """For the policy's part of a step."""
        return time_limit(self.seconds, "policy", self.ends_process)

    def of_world(self) -> AbstractContextManager[None]:
        """For a world's step."""
        return time_limit(self.seconds, "world", self.ends_process)

    def of_reset(self) -> AbstractContextManager[None]:
        """For a world's reset, which may include making the world."""
        return time_limit(self.seconds and max(self.seconds, RESET_SECONDS), "world", self.ends_process)

    def over_steps(self) -> AbstractContextManager[None]:
        """For a loop of steps: inside it, each limit costs less, see `_Watchdog`."""
        return _WATCHDOG.kept()


class _Watchdog:
    """Ends this process if native code does not return.

    Setting the watchdog starts a thread, which takes 60 microseconds: some percent of a step. While it is kept, it is
    set again only after half of `GRACE_SECONDS`. Code that hangs is therefore ended between half of that time and all
    of it after its limit.
    """

    def __init__(self) -> None:
        self._is_kept = False
        self._is_set_for = self._set_at = 0.0

    def set(self, seconds: float) -> None:
        """Ends the process after this time and the grace period, unless it is set again or stopped."""
        now = clock.seconds()
        if self._is_kept and self._is_set_for == seconds and now - self._set_at < GRACE_SECONDS / 2:
            return
        faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True)
        self._is_set_for, self._set_at = seconds, now

    def rest(self) -> None:
        """Stops the watchdog, unless it is kept."""
        if not self._is_kept:
            faulthandler.cancel_dump_traceback_later()
            self._is_set_for = 0.0

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keeps it running between one limit and the next, while the block lasts."""
        self._is_kept = True
        try:
            yield
        finally:
            self._is_kept = False
            self.rest()


_WATCHDOG = _Watchdog()
"""A process can have only one."""


@contextmanager
def time_limit(seconds: float, owner: str = "policy", ends_process: bool = False) -> Iterator[None]:
    """Raises an error inside the block when the time is up.

    This stops Python code, and native code that waits or returns to Python. Other native code can be stopped only by
    ending its process, `GRACE_SECONDS` later. That is right in a worker's process, because the driver handles the death
    of a worker. In the driver's own process such code cannot be stopped. There is no limit outside the main thread.

    Args:
        seconds: The limit; 0 for none.
        owner: `"policy"` or `"world"`, for the error message.
        ends_process: Whether to end the process if nothing else helps.

    Raises:
        StepTimeoutError: The time is up.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    before = signal.signal(signal.SIGALRM, partial(_stop, seconds, owner))
    if ends_process:
        _WATCHDOG.set(seconds)
    began = clock.seconds()
    # The first values are those of an alarm that somebody else set.
    others_delay, others_interval = signal.setitimer(signal.ITIMER_REAL, min(seconds, _LONGEST_SECONDS), _AGAIN_SECONDS)
    try:
        yield
    finally:
        left = max(others_delay - (clock.seconds() - began), 1e-3) if others_delay else 0.0
        signal.setitimer(signal.ITIMER_REAL, 0)
        if ends_process:
            _WATCHDOG.rest()
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left, others_interval)


def _stop(seconds: float, owner: str, number: int, frame: FrameType | None) -> None:
    """The signal's handler. It has a place of its own because the tests' type checker compiles a nested one anew."""
    raise StepTimeoutError(
        f"expected the {owner} to answer within {seconds:g} s, and it did not. Raise the limit with --step-timeout, "
        "or see in the traceback what it waits for."
    )
