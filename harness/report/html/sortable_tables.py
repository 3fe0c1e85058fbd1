"""Tables of the page: cells as text, and the numbers that they are sorted by."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from calvinbench.harness.report.html.file_links import FileLink
from calvinbench.harness.report.tables.grid import NOT_THERE, Cell, Grid

_NUMBER = re.compile(r"([+\-\u2212]?\d+(?:\.\d+)?(?:e[+\-]?\d+)?)\s*([kMB%]?)(?:\s*[\[(\u00b1=].*)?", re.DOTALL)
_UNITS = {"": 1.0, "%": 1.0, "k": 1e3, "M": 1e6, "B": 1e9}
_WIDTHS_REM = (24, 36, 48, 60, 72)
"""Widths at which the page can say that a table scrolls; see `report.css`."""
_LETTER_REM, _PADDING_REM = 0.5, 1.2
_SMALL = 0.83
"""Of a letter's width that one of an interval has."""
_WIDEST_LETTERS = 24
"""Longer words are broken."""


@dataclass(frozen=True, slots=True)
class PageCell:
    """One cell.

    Attributes:
        text: The number or word.
        mark: Behind it, such as `"≈"`.
        interval: Below it; empty for none.
        is_best: Whether it is in bold.
        value: What the column is sorted by; None in columns of words, and where there is no number.
    """

    text: str
    mark: str = ""
    interval: str = ""
    is_best: bool = False
    value: float | None = None


@dataclass(frozen=True, slots=True)
class PageColumn:
    """One column.

    Attributes:
        title: In the header.
        group: Above the title; empty for none.
        is_number: Whether all its cells are numbers or dashes. Such columns are aligned right, and sorted by value.
    """

    title: str
    group: str
    is_number: bool


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table that can be sorted.

    Attributes:
        name: Short name for people who hear the page, such as `"main table"`.
        columns: From the left; the first names the rows.
        rows: Cells by row.
        published: Published rows, below the others.
        files: Files with the same numbers.
    """

    name: str
    columns: tuple[PageColumn, ...]
    rows: tuple[tuple[PageCell, ...], ...]
    published: tuple[tuple[PageCell, ...], ...] = ()
    files: tuple[FileLink, ...] = ()

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Groups of columns with the number of columns in each; empty without groups."""
        found = [(name, len(list(same))) for name, same in groupby(column.group for column in self.columns)]
        return tuple(found) if any(name for name, _ in found) else ()

    @property
    def mark_letters(self) -> int:
        """Letters of the longest mark."""
        return max((len(cell.mark) for row in (*self.rows, *self.published) for cell in row), default=0)

    @property
    def has_long_words(self) -> bool:
        """Whether a name has a word that must be broken."""
        rows = (*self.rows, *self.published)
        return any(len(word) > _WIDEST_LETTERS for row in rows for cell in row for word in cell.text.split())

    @property
    def width_class(self) -> str:
        """A style class: on less than so many rem, the table must be scrolled."""
        rows = (*self.rows, *self.published)
        width = sum(
            max([_widest_word(column.title), *(_letters(row[place], column.is_number) for row in rows)]) * _LETTER_REM
            + _PADDING_REM
            for place, column in enumerate(self.columns)
        )
        return f"w{min((known for known in _WIDTHS_REM if known >= width), default='-more')}"


def _letters(cell: PageCell, is_number: bool) -> float:
    """The letters that a line of a cell has at least. Words are wrapped, numbers are not."""
    if not is_number:
        return float(_widest_word(cell.text))
    return max(float(len(cell.text) + len(cell.mark)), _SMALL * len(cell.interval))


def _widest_word(text: str) -> int:
    return min(max(map(len, text.split()), default=0), _WIDEST_LETTERS)


def of_grid(grid: Grid, name: str, files: Sequence[FileLink] = ()) -> PageTable:
    """The page's form of a table.

    Args:
        grid: The table.
        name: See `PageTable`.
        files: Files with the same numbers.
    """
    made = [_column(column.title, column.group, column.cells) for column in grid.columns]
    rows = tuple(zip(*(cells for _, cells in made), strict=True))
    num_own = len(rows) - grid.num_published
    return PageTable(name, tuple(column for column, _ in made), rows[:num_own], rows[num_own:], tuple(files))


def of_frame(frame: pd.DataFrame, name: str, files: Sequence[FileLink] = ()) -> PageTable:
    """The same of a frame of text."""
    made = [_column(str(title), "", [Cell(str(text)) for text in frame[title]]) for title in frame.columns]
    rows = tuple(zip(*(cells for _, cells in made), strict=True))
    return PageTable(name, tuple(column for column, _ in made), rows, (), tuple(files))


def _column(title: str, group: str, cells: Sequence[Cell]) -> tuple[PageColumn, list[PageCell]]:
    values = [number_in(cell.text) for cell in cells]
    is_number = any(value is not None for value in values) and all(
        value is not None or cell.text in ("", NOT_THERE) for cell, value in zip(cells, values, strict=True)
    )
    return PageColumn(title, group, is_number), [
        PageCell(cell.text, cell.mark, cell.interval, cell.is_best, value if is_number else None)
        for cell, value in zip(cells, values, strict=True)
    ]


def number_in(text: str) -> float | None:
    """The number that a cell begins with, such as 1500000.0 for `"1.5M"` and 0.4 for `"+0.4 [0.1, 0.7]"`.

    Args:
        text: The cell's text.

    Returns:
        The number; None if there is more in the cell than a number, a unit (k, M, B, %) and brackets behind it.
    """
    found = _NUMBER.fullmatch(text.strip())
    return float(found[1].replace("\u2212", "-")) * _UNITS[found[2]] if found else None
