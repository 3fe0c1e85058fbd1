"""Writes files atomically: a file is complete, or it does not exist."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_file(file: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing. It gets its name after everything is written; an error leaves no file."""
    # No data loader searches for this suffix, and the dot hides the name from patterns.
    beside = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as opened:
            yield opened
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
