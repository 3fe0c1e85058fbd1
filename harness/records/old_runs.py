"""Runs that were replaced by a new run. They are moved aside, never deleted, and reports ignore them."""

import logging
import re
from datetime import UTC, datetime
from pathlib import Path

from calvinbench.harness.records.folders import locked_folder
from calvinbench.harness.records.run_directory import CHAINS_FILE, RUN_FILE

_MOVED_ASIDE = re.compile(r"\.old-\d{8}T\d{6}(-\d+)?$")
_logger = logging.getLogger(__name__)


def move_aside(directory: Path) -> Path | None:
    """Renames a run's folder to `NAME.old-<date and time>`.

    Returns:
        The new name; None if there was no run.

    Raises:
        RunLockedError: Another process writes to it.
        OSError: It cannot be renamed.
    """
    if not any((directory / name).exists() for name in (RUN_FILE, CHAINS_FILE)):
        return None
    moved = _free(directory)
    with locked_folder(directory):
        directory.rename(moved)
    _logger.warning(
        "The run that was in '%s' is now in '%s'. To resume the new run after a stop, leave --overwrite out.",
        directory,
        moved,
    )
    return moved


def _free(directory: Path) -> Path:
    """A free name."""
    name = f"{directory.name}.old-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    names = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(place for place in map(directory.with_name, names) if not place.exists())


def is_moved_aside(folder: Path) -> bool:
    """Whether the name of a folder, or of a folder above it, is that of a run that was moved aside."""
    return any(_MOVED_ASIDE.search(part) for part in folder.parts)
