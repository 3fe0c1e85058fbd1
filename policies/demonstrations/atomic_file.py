"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_file(file: Path) -> Iterator[BinaryIO]:
    """Opens a file to write; it takes its name when all is written, and nothing is left if something raises."""
    # The name ends in no suffix that a loader of data looks for, and begins so that no pattern finds it.
    beside = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as opened:
            yield opened
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
