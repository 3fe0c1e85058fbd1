"""The traceback of a run's first error, as it is shown: the user's own part of it."""

import re
from functools import cache
from importlib import import_module
from pathlib import Path

from calvinbench.harness.records.records import ChainRecord

_MAX_LINES = 40
_HEADER = "Traceback (most recent call last):"
_FILE = re.compile(r'  File "([^"]+)", line \d+')
_OWN_PACKAGES = ("calvinbench.envs", "calvinbench.policies", "calvinbench.harness", "jaxtyping")
"""The last checks the shapes of our own functions where that is switched on, and has a frame around each then."""


def first_error_in_words(record: ChainRecord, chains_file: Path) -> str | None:
    """What is shown at the first chain of a run that errored; None where there is no traceback that adds anything.

    Args:
        record: Of the chain.
        chains_file: Where the record is kept, with the whole traceback.
    """
    trimmed = own_part(record.traceback or "")
    if trimmed is None:
        return None
    place = f"chain {record.chain}, subtask {len(record.subtasks)}, after {record.subtasks[-1].steps} steps"
    return (
        f"The first error of this run, in {place}:\n{trimmed}\n"
        f"The whole traceback is in '{chains_file}', in the line of chain {record.chain}, key traceback. Of further "
        "errors only the message is shown."
    )


def own_part(traceback: str) -> str | None:
    """A traceback without the frames by which calvinbench calls what raised; None if it has no frames.

    Frames that are all of calvinbench are kept: then the error is its own, or of what a user gave it.
    """
    if _HEADER not in traceback:
        return None
    before, *blocks = traceback.split(f"{_HEADER}\n")
    lines = f"{before}{''.join(f'{_HEADER}{chr(10)}{_trimmed(block)}' for block in blocks)}".rstrip().splitlines()
    if len(lines) > _MAX_LINES:
        num_first = _MAX_LINES // 4
        left_out = f"  ... ({len(lines) - _MAX_LINES} lines left out)"
        lines = [*lines[:num_first], left_out, *lines[num_first - _MAX_LINES :]]
    return "\n".join(lines)


def _trimmed(block: str) -> str:
    """A block without its first frames, as far as they are calvinbench's."""
    frames = re.split(r'(?m)^(?=  File ")', block)  # the last one has the error's own lines at its end
    head, frames = frames[0], frames[1:]
    first = next((place for place, frame in enumerate(frames) if not _is_own(frame)), 0)
    return head + "".join(frames[first:])


def _is_own(frame: str) -> bool:
    found = _FILE.match(frame)
    if found is None:
        return False
    if found[1].startswith("<"):  # what a decorator made around a function
        return True
    return any(Path(found[1]).is_relative_to(folder) for folder in _own_folders())


@cache
def _own_folders() -> tuple[Path, ...]:
    return tuple(Path(str(import_module(package).__file__)).parent for package in _OWN_PACKAGES)
