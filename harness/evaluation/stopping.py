"""Handles all signals that end a command like Ctrl-C."""

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopped_as_by_ctrl_c() -> Iterator[None]:
    """Within the block, SIGTERM and SIGHUP raise KeyboardInterrupt, as SIGINT does.

    Otherwise these signals would end Python at once, without ending the worlds' processes and freeing shared memory. A
    signal that is ignored (for example by `nohup`) or has another handler is left unchanged. Nothing changes outside
    the main thread.
    """
    is_main = threading.current_thread() is threading.main_thread()
    taken = [number for number in _ENDING if is_main and signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        gc.freeze()  # so that Python does not search torch's objects as it ends, which takes a second or more
        raise
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
