"""Folders and files that are written safely: checked beforehand, replaced as a whole, locked against other writers."""

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calvinbench.envs.system.atomic_write import write_whole

LOCK_FILE = ".lock"
_PROBE_BYTES = 1 << 16


class RunLockedError(OSError):
    """Another process is writing to the folder."""


def make_folder(path: Path) -> None:
    """Makes a folder and its parents if they do not exist.

    Raises:
        OSError: It cannot be made; the message names the folder.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            error.errno, f"cannot make the folder '{path}': {error.strerror}. Choose another --out."
        ) from error


def require_writable(folder: Path) -> None:
    """Raises an error if nothing can be written in a folder. Call it before anything slow.

    A file of some KB is written and deleted there, or in the nearest existing folder above.

    Raises:
        OSError: A file is in the way, permissions are missing, or the disk is full or read-only.
    """
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    try:
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"'{there}' is not a folder")
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot write to '{folder}': {error.strerror}. Free space, get permission, or choose another folder "
            "with --out.",
        ) from error


def write_text_atomically(path: Path, text: str) -> None:
    """Replaces a file as a whole and waits until it is on the disk, see `envs.system.atomic_write`."""
    write_atomically(path, text.encode())


def write_atomically(path: Path, content: bytes) -> None:
    """As `write_text_atomically`, for bytes."""
    try:
        write_whole(path, content, is_synced=True)
    except OSError as error:
        raise OSError(
            error.errno, f"cannot write '{path}': {error.strerror}. Free space or choose another --out."
        ) from error


@contextmanager
def locked_folder(directory: Path) -> Iterator[None]:
    """Locks a folder against other writers, as long as the block lasts.

    The operating system frees the lock when the process ends, even if it is killed. That is why this uses `flock`
    itself: depending on its version, the `filelock` package deletes the lock's file when it is freed, although the
    folder may have been moved by then, or uses a plain file that a killed process leaves behind.

    Raises:
        RunLockedError: Another process writes to it.
        OSError: It cannot be written.
    """
    lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunLockedError(
                errno.EWOULDBLOCK,
                f"another process is writing to '{directory}'. Wait until it is done, or choose another --out.",
            ) from error
        yield
    finally:
        os.close(lock)
