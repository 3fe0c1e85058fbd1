"""How long a policy or a world may take for one step."""

import faulthandler
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import FrameType

from calvinbench.harness import clock

GRACE_SECONDS = 10.0
"""How much longer code gets that does not come back to Python, before its process is ended."""
RESET_SECONDS = 600.0
"""A reset gets at least so long: it may make the world, compile its code, and let the expert play a lead-in."""


class StepTimeoutError(RuntimeError):
    """A policy or a world did not answer in time."""


@dataclass(frozen=True, slots=True)
class StepLimit:
    """How long a step may take in this process.

    Attributes:
        seconds: For the policy's answer, and as long again for the world's; 0 for any number.
        ends_process: Whether native code that never comes back is ended with its process, see `time_limit`.
    """

    seconds: float = 0.0
    ends_process: bool = False

    def of_policy(self) -> AbstractContextManager[None]:
        """Around what a policy does for a step."""
        return time_limit(self.seconds, "policy", self.ends_process)

    def of_world(self) -> AbstractContextManager[None]:
        """Around a world's step."""
        return time_limit(self.seconds, "world", self.ends_process)

    def of_reset(self) -> AbstractContextManager[None]:
        """Around a world's reset, and the making of the world where that is due."""
        return time_limit(self.seconds and max(self.seconds, RESET_SECONDS), "world", self.ends_process)

    def over_steps(self) -> AbstractContextManager[None]:
        """Around many of these blocks in a row, which cost less within it, see `_Watchdog`."""
        return _WATCHDOG.kept()


class _Watchdog:
    """Ends this process where native code does not come back.

    Setting it takes a thread, 60 microseconds, which at each step of a world and of a policy would be some percent of
    both. While it is kept, it is set anew after half of `GRACE_SECONDS` at the earliest: code that hangs is then ended
    between half of and all of that time after its limit.
    """

    def __init__(self) -> None:
        self._is_kept = False
        self._is_set_for = self._set_at = 0.0

    def set(self, seconds: float) -> None:
        """Gives what follows so long, and the grace."""
        now = clock.seconds()
        if self._is_kept and self._is_set_for == seconds and now - self._set_at < GRACE_SECONDS / 2:
            return
        faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True)
        self._is_set_for, self._set_at = seconds, now

    def rest(self) -> None:
        """Nothing hangs now."""
        if not self._is_kept:
            faulthandler.cancel_dump_traceback_later()
            self._is_set_for = 0.0

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Within the block it is not stopped between one limit and the next."""
        self._is_kept = True
        try:
            yield
        finally:
            self._is_kept = False
            self.rest()


_WATCHDOG = _Watchdog()
"""A process has but one."""


@contextmanager
def time_limit(seconds: float, whose: str = "policy", ends_process: bool = False) -> Iterator[None]:
    """Raises inside the block once the time is up.

    It reaches Python code, and native code that returns to Python or waits. Native code that does neither can only be
    ended with its process, `GRACE_SECONDS` later: right for a worker's process, for its driver treats that as any death
    of a worker, and wrong for the driver's own, where such code cannot be stopped. In threads but the main one there is
    no limit.

    Args:
        seconds: The time; 0 for no limit.
        whose: Who is to answer, for the message.
        ends_process: Whether the process may be ended.

    Raises:
        StepTimeoutError: The time is up.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise StepTimeoutError(
            f"expected the {whose} to answer within {seconds:g} s, and it did not. Give it more with --step-timeout, "
            "or look for what it waits for in the traceback."
        )

    before = signal.signal(signal.SIGALRM, stop)
    if ends_process:
        _WATCHDOG.set(seconds)
    began = clock.seconds()
    others_delay, others_interval = signal.setitimer(signal.ITIMER_REAL, seconds)  # whose alarm it was until now
    try:
        yield
    finally:
        left = max(others_delay - (clock.seconds() - began), 1e-3) if others_delay else 0.0
        signal.setitimer(signal.ITIMER_REAL, 0)
        if ends_process:
            _WATCHDOG.rest()
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left, others_interval)
