"""Processes that this program starts. Ctrl-C is for their parent to handle, so they print nothing when it comes.

A terminal sends Ctrl-C to a program and to all its child processes at once. The parent then ends its children. A child
that handled the signal too would print a traceback of its own, even while it is still starting.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from types import TracebackType


class ChildProcess(SpawnProcess):
    """A spawned process that ignores Ctrl-C and does not report a reader that has gone away."""

    def start(self) -> None:
        """Starts the process. Ctrl-C is blocked in it from its first instruction on, and ignored once it runs."""
        with _ctrl_c_blocked():
            super().start()

    def run(self) -> None:
        """Runs the target. It is called in the new process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        sys.excepthook = excepthook_of_child
        super().run()


class _ChildContext(SpawnContext):
    """The spawn context of multiprocessing, but with `ChildProcess`."""

    Process = ChildProcess


SPAWN = _ChildContext()
"""The multiprocessing context for every pool, world process and loader worker."""


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Blocks Ctrl-C in this thread, so that a process started meanwhile inherits that. A signal that comes waits."""
    resource_tracker.ensure_running()  # otherwise starting a process starts it, which unblocks the signal again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def excepthook_of_child(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Reports an error of a child process as Python does, unless it means that the reader of its data has gone away.

    A loader worker passes tensors to its parent through a thread of `multiprocessing.resource_sharer`. If Ctrl-C ends
    the parent in the middle of that, the connection breaks, and the thread would print a traceback. Nothing is hidden
    by this: a parent that lives on gets an error of its own for the tensor that it did not receive.
    """
    is_helper_thread = threading.current_thread() is not threading.main_thread()
    if is_helper_thread and issubclass(kind, EOFError | ConnectionError):
        return
    sys.__excepthook__(kind, error, trace)
