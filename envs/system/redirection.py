"""Redirects file descriptors, so that output of native code goes where Python's goes."""

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STDOUT, STDERR = 1, 2


def redirect(descriptor: int, target: int | None) -> None:
    """Sends what is written to a file descriptor elsewhere, from now on.

    Args:
        descriptor: Such as `STDOUT`.
        target: The file descriptor that gets the output; None discards it.
    """
    if target is not None:
        os.dup2(target, descriptor)
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != descriptor:  # else the descriptor was closed, and is now this one
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


@contextmanager
def redirected(descriptor: int, target: int | None) -> Iterator[None]:
    """Sends what is written to a file descriptor elsewhere while the block lasts; see `redirect`.

    It does nothing in a process that does not have the descriptor, such as one without standard output.
    """
    _flush(descriptor)
    try:
        saved = os.dup(descriptor)
    except OSError:
        yield
        return
    try:
        redirect(descriptor, target)
        yield
    finally:
        _flush(descriptor)
        os.dup2(saved, descriptor)
        os.close(saved)


def _flush(descriptor: int) -> None:
    """Writes out what Python holds back for a descriptor, before its target changes."""
    stream = {STDOUT: sys.stdout, STDERR: sys.stderr}.get(descriptor)
    if stream is not None:
        with contextlib.suppress(ValueError):  # it is closed
            stream.flush()
