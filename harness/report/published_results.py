"""What others printed of their policies on CALVIN, to be shown apart from what was run here.

`published_results.csv` says of each row where it was read: `primary` (the authors' own paper or code, or a baseline row
that they printed), `transcribed` (a transcription of the paper, its sums checked), or second-hand (`board-own`,
`board-cited`, `harness`: leaderboards and other people's reproductions). Rows whose five rates do not sum to their
average length were left out, such as FLOWER's ABCD->D of 4.67 (its README's rates sum to 4.72). Rows without a source
were too, such as SLIM's ABC->D of 4.556.
"""

import csv
from dataclasses import dataclass
from importlib.resources import files

from calvinbench.envs.names import require_name
from calvinbench.harness.records.records import NUM_SUBTASKS

PUBLISHED_MARK = "‡"
FIRST_HAND = ("primary", "transcribed")


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """A published row.

    Attributes:
        model: As its source calls it.
        split: What it was trained on and where it was evaluated, `ABC->D` or the like.
        success: Rates of completing at least 1..5 subtasks; None where the source does not print one.
        average_length: As printed.
        max_steps: Steps for each subtask where they are not CALVIN's 360: another protocol. None for 360, or not known.
        source: Where it was read.
        verified: How: `primary`, `transcribed`, `board-own`, `board-cited` or `harness`.
        note: What else is to be known of it.
    """

    model: str
    split: str
    success: tuple[float | None, ...]
    average_length: float
    max_steps: int | None
    source: str
    verified: str
    note: str

    @property
    def is_second_hand(self) -> bool:
        """Whether nobody here read it in its own source."""
        return self.verified not in FIRST_HAND


def published_splits() -> tuple[str, ...]:
    """The splits of which there are published rows."""
    return tuple(sorted({result.split for result in _all()}))


def published_results(split: str, second_hand: bool = False) -> tuple[PublishedResult, ...]:
    """Published rows of a split, the longest chains first.

    Args:
        split: Such as `"ABC->D"`.
        second_hand: Whether rows that were read at second hand are wanted too.

    Raises:
        UnknownNameError: There is no row of that split.
    """
    require_name(split, published_splits(), "split")
    rows = [result for result in _all() if result.split == split and (second_hand or not result.is_second_hand)]
    return tuple(sorted(rows, key=lambda result: -result.average_length))


def require_published(split: str, second_hand: bool = False) -> tuple[PublishedResult, ...]:
    """`published_results`, of which there is at least one: what was asked for is never left out without a word.

    Raises:
        UnknownNameError: There is no row of that split.
        ValueError: All rows of it are second-hand, and those are not wanted.
    """
    found = published_results(split, second_hand)
    if not found:
        number = len(published_results(split, second_hand=True))
        raise ValueError(
            f"expected first-hand published rows of '{split}', found none. There are {number} second-hand rows: add "
            "--second-hand to show them."
        )
    return found


def _all() -> tuple[PublishedResult, ...]:
    text = files("calvinbench.harness.report").joinpath("published_results.csv").read_text("utf-8")
    return tuple(_read(row) for row in csv.DictReader(text.splitlines()))


def _read(row: dict[str, str]) -> PublishedResult:
    rates = [row[f"success_{k}"] for k in range(1, NUM_SUBTASKS + 1)]
    return PublishedResult(
        row["model"],
        row["split"],
        tuple(float(rate) if rate else None for rate in rates),
        float(row["average_length"]),
        int(row["max_steps"]) if row["max_steps"] else None,
        row["source"],
        row["verified"],
        row["note"],
    )
