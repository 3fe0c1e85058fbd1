"""Signals that end a command: all are taken as Ctrl-C is."""

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopped_as_by_ctrl_c() -> Iterator[None]:
    """Within the block, SIGTERM and SIGHUP raise KeyboardInterrupt, as SIGINT does.

    Python ends at once by them else: worlds' processes are not ended, and what they share is not given back. A signal
    that is ignored (by `nohup`, say) or has another handler is left as it is, and so are all outside the main thread.
    """
    is_main = threading.current_thread() is threading.main_thread()
    taken = [number for number in _ENDING if is_main and signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        gc.freeze()  # else torch's objects are looked through once more as Python ends: a second or more
        raise
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
