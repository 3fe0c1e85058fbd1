"""Handles all signals that end a command like Ctrl-C."""

import gc
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_AGAIN_SECONDS = 0.05


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
        with _raised_again_if_dropped(taken[0] if taken else signal.SIGINT) if is_main else nullcontext():
            yield
    except KeyboardInterrupt:
        gc.freeze()  # so that Python does not search torch's objects as it ends, which takes a second or more
        raise
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _raised_again_if_dropped(number: signal.Signals) -> Iterator[None]:
    """Within the block, raises a KeyboardInterrupt again that Python dropped.

    A signal may arrive while Python calls `__del__` or the callback of a weak reference. Python drops exceptions there,
    so the command would go on as if nobody had stopped it.

    Args:
        number: A signal whose handler raises KeyboardInterrupt.
    """
    before = sys.unraisablehook
    timers: list[threading.Timer] = []

    def raise_again(dropped: "sys.UnraisableHookArgs") -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            before(dropped)
            return
        # A little later, because an exception that is raised here is dropped too.
        timers.append(threading.Timer(_AGAIN_SECONDS, _signal_main_thread, (number,)))
        timers[-1].daemon = True
        timers[-1].start()

    sys.unraisablehook = raise_again
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:
            timer.cancel()


def _signal_main_thread(number: signal.Signals) -> None:
    if signal.getsignal(number) is signal.default_int_handler:
        signal.pthread_kill(threading.main_thread().ident or 0, number)
