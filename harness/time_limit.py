"""How long a policy may think about one step."""

import faulthandler
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from calvinbench.harness import clock

GRACE_SECONDS = 10.0
"""How much longer code gets that does not come back to Python, before its process is ended."""


class StepTimeoutError(RuntimeError):
    """A policy did not answer in time."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises inside the block once the time is up.

    It reaches Python code, and native code that returns to Python or waits. Native code that does neither is ended with
    its process, where that is a worker, which the driver treats as any death of a worker; in the driver itself it
    cannot be stopped.

    Args:
        seconds: The time; 0 for no limit.

    Raises:
        StepTimeoutError: The time is up.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise StepTimeoutError(
            f"expected the policy to answer within {seconds:g} s, and it did not. Give it more with --step-timeout, or "
            "look for what it waits for in the traceback."
        )

    before = signal.signal(signal.SIGALRM, stop)
    is_worker = multiprocessing.parent_process() is not None
    if is_worker:
        faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True)
    began = clock.seconds()
    others_delay, others_interval = signal.setitimer(signal.ITIMER_REAL, seconds)  # whose alarm it was until now
    try:
        yield
    finally:
        left = max(others_delay - (clock.seconds() - began), 1e-3) if others_delay else 0.0
        signal.setitimer(signal.ITIMER_REAL, 0)
        if is_worker:
            faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left, others_interval)
