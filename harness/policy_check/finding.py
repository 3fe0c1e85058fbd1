"""One result of a check."""

import os
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Status = Literal["right", "wrong", "unknown", "note"]
_OWN_FOLDERS = tuple(f"{Path(__file__).parents[2] / folder}{os.sep}" for folder in ("harness", "policies", "envs"))
_MOST_LINES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    Attributes:
        topic: What was checked, in two or three words.
        status: `right`, `wrong`, `unknown` if there is no conclusion, or `note`, which is neither good nor bad.
        words: What was found, and how to fix what is wrong.
    """

    topic: str
    status: Status
    words: str


def error_in_words(error: BaseException) -> str:
    """An error, with the last lines of the user's own files in its traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_of_a_library(frame.filename)] or list(frames[-1:])
    line = " ".join("".join(traceback.format_exception_only(error)).split())
    return "\n".join([line, *_lines(own[-_MOST_LINES:])])


def _lines(frames: Iterable[traceback.FrameSummary]) -> list[str]:
    return [f"  {frame.filename}:{frame.lineno}, in {frame.name}: {frame.line}" for frame in frames]


def _is_of_a_library(filename: str) -> bool:
    """Whether a file is calvinbench's or an installed package's."""
    return "site-packages" in filename or filename.startswith(_OWN_FOLDERS)
