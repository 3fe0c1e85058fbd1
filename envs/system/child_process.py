"""Processes that this program starts: `SPAWN` for a fresh Python, `FORK_SERVER` for many that import the same.

Ctrl-C is for their parent to handle, so they print nothing when it comes.

A terminal sends Ctrl-C to a program and to all its child processes at once. The parent then ends its children. A child
that handled the signal too would print a traceback of its own, even while it is still starting.

A spawned process imports all that it needs anew, which takes more than a second for a world. A fork server imports it
once, and each process is a copy of the server. The server is a process of its own. It only imports modules: threads and
GPU contexts would not survive being copied. Other systems than Linux have libraries that cannot be copied, so there the
processes are spawned.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, reduction, resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from types import TracebackType
from typing import Any


class ChildProcess(SpawnProcess):
    """A spawned process that ignores Ctrl-C and does not report a reader that has gone away."""

    def start(self) -> None:
        """Starts the process. Ctrl-C is blocked in it from its first instruction on, and ignored once it runs."""
        with _ctrl_c_blocked():
            super().start()

    def run(self) -> None:
        """Runs the target. It is called in the new process."""
        _ignore_ctrl_c()
        super().run()


class _ChildContext(SpawnContext):
    """The spawn context of multiprocessing, but with `ChildProcess`."""

    Process = ChildProcess


SPAWN = _ChildContext()
"""The multiprocessing context for processes that use torch: loader workers."""

PRELOADED: list[str] = []
"""Modules that the fork server imports as it starts. A module that starts processes adds what they need.

None of them may start threads or use a GPU when it is imported.
"""

if sys.platform == "linux":
    from multiprocessing.context import ForkServerContext, ForkServerProcess

    class ForkedProcess(ForkServerProcess):
        """A process of the fork server that behaves as `ChildProcess` does."""

        def start(self) -> None:
            """Starts the process, and the server before the first one."""
            with _ctrl_c_blocked():
                forkserver.set_forkserver_preload(PRELOADED)
                super().start()

        def run(self) -> None:
            """Runs the target. It is called in the new process."""
            _ignore_ctrl_c()
            super().run()

        def __getstate__(self) -> dict[str, Any]:
            """What is sent. The surroundings come first: reading the rest imports modules, which may depend on them."""
            return {"_surroundings": _Surroundings(), **self.__dict__}

    class _ForkServerContext(ForkServerContext):
        """The fork server of multiprocessing, but with `ForkedProcess`."""

        Process = ForkedProcess

    FORK_SERVER: Any = _ForkServerContext()
else:
    FORK_SERVER = SPAWN
"""The multiprocessing context for worlds and for workers, which are many and import the same."""


class _Surroundings:
    """What a process inherits when it is spawned: environment variables, standard output and standard error.

    A fork server has those of the moment at which it was started, so they are sent along.
    """

    def __getstate__(self) -> dict[str, Any]:
        files = {number: reduction.DupFd(number) for number in _STANDARD_FILES if _is_open(number)}
        return {"environment": dict(os.environ), "files": files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        os.environ.clear()
        os.environ.update(state["environment"])
        for number, file in state["files"].items():
            sent = file.detach()
            os.dup2(sent, number)
            os.close(sent)


_STANDARD_FILES = (1, 2)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _ignore_ctrl_c() -> None:
    """Is called in a new process, in which Ctrl-C is still blocked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    sys.excepthook = excepthook_of_child


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
