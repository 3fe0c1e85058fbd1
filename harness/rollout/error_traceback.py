"""The traceback of a run's first error, shortened to the user's own code."""

import re
from functools import cache
from importlib import import_module
from pathlib import Path

from calvinbench.harness.records.records import ChainRecord

_MAX_LINES = 40
_HEADER = "Traceback (most recent call last):"
_FILE = re.compile(r'  File "([^"]+)", line \d+')
_OWN_PACKAGES = ("calvinbench.envs", "calvinbench.policies", "calvinbench.harness", "jaxtyping")
"""jaxtyping adds a frame around each of our functions where shapes are checked, as in tests."""


def first_error_in_words(record: ChainRecord, chains_file: Path) -> str | None:
    """The text shown when the first chain of a run errors; None if the traceback has no frames.

    Args:
        record: Of the chain.
        chains_file: The file that keeps the record, with the whole traceback.
    """
    trimmed = own_part(record.traceback or "")
    if trimmed is None:
        return None
    place = f"chain {record.chain}, subtask {len(record.subtasks)}, after {record.subtasks[-1].steps} steps"
    return (
        f"The first error of this run, in {place}:\n{trimmed}\n"
        f"The whole traceback is in '{chains_file}', in the line of chain {record.chain}, under the key traceback. "
        "Only the message is shown for further errors."
    )


def own_part(traceback: str) -> str | None:
    """A traceback without the frames in which calvinbench calls the user's code; None if it has no frames.

    If all frames are calvinbench's, they are kept.
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
    """A block without the calvinbench frames at its beginning."""
    frames = re.split(r'(?m)^(?=  File ")', block)  # the last frame also holds the error's own lines
    head, frames = frames[0], frames[1:]
    first = next((place for place, frame in enumerate(frames) if not _is_own(frame)), 0)
    return head + "".join(frames[first:])


def _is_own(frame: str) -> bool:
    found = _FILE.match(frame)
    if found is None:
        return False
    if found[1].startswith("<"):  # made by a decorator around a function
        return True
    return any(Path(found[1]).is_relative_to(folder) for folder in _own_folders())


@cache
def _own_folders() -> tuple[Path, ...]:
    return tuple(Path(str(import_module(package).__file__)).parent for package in _OWN_PACKAGES)
