"""A table as text in columns, before it becomes Markdown, LaTeX, HTML or lines of a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

IntervalStyle = Literal["none", "below", "pm", "brackets"]
"""How intervals are shown: not at all, in brackets below the number, as plus-minus, or in brackets beside it."""
NOT_THERE = "-"
"""In place of a number that does not exist."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        text: The number or word.
        interval: Such as `"[63.2, 73.7]"` or `"± 5.3"`; empty for none.
        mark: Behind the number, such as `"≈"` or compact letters.
        is_best: Whether it is in bold.
        is_below: Whether the interval is on a line of its own.
    """

    text: str
    interval: str = ""
    mark: str = ""
    is_best: bool = False
    is_below: bool = False

    @property
    def head(self) -> str:
        """The number with its mark."""
        return f"{self.text} {self.mark}" if self.mark else self.text

    @property
    def lines(self) -> tuple[str, ...]:
        """The cell's text, in two lines if its interval is below."""
        if not self.interval:
            return (self.head,)
        return (self.head, self.interval) if self.is_below else (f"{self.head} {self.interval}",)


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        title: In the header.
        cells: From the top.
        is_text: Whether it is left-aligned, and may be broken between words.
        group: The condition above the title, such as `"scene D"`; empty without conditions.
        optional: Whether and how early the column may be dropped for lack of width: 0 is never, 1 is first.
        keeps_interval: Whether it keeps its intervals longer than other columns.
    """

    title: str
    cells: tuple[Cell, ...]
    is_text: bool = False
    group: str = ""
    optional: int = 0
    keeps_interval: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table's columns.

    Attributes:
        columns: From the left; the first names the rows.
        num_published: Number of published rows; they are the last, below a rule.
        dropped: Titles of columns that were dropped for lack of width.
    """

    columns: tuple[Column, ...]
    num_published: int = 0
    dropped: tuple[str, ...] = ()

    @property
    def num_rows(self) -> int:
        """Rows below the header."""
        return len(self.columns[0].cells) if self.columns else 0

    @property
    def rows(self) -> tuple[tuple[Cell, ...], ...]:
        """The cells by row."""
        return tuple(zip(*(column.cells for column in self.columns), strict=True))

    @property
    def titles(self) -> tuple[str, ...]:
        """The header in one line, conditions before titles."""
        return tuple(f"{column.group}: {column.title}" if column.group else column.title for column in self.columns)

    def with_intervals_below(self) -> "Grid":
        """All intervals in lines of their own."""
        return self._with_cells(lambda cell: replace(cell, is_below=True), range(len(self.columns)))

    def without_intervals(self, but_kept: bool) -> "Grid":
        """No intervals, except in columns that keep them if `but_kept`."""
        places = [place for place, column in enumerate(self.columns) if not (but_kept and column.keeps_interval)]
        return self._with_cells(lambda cell: replace(cell, interval=""), places)

    def with_intervals_beside(self) -> "Grid":
        """All intervals beside their numbers."""
        return self._with_cells(lambda cell: replace(cell, is_below=False), range(len(self.columns)))

    def _with_cells(self, change, places: Sequence[int]) -> "Grid":  # type: ignore[no-untyped-def]
        chosen = set(places)
        columns = (
            replace(column, cells=tuple(map(change, column.cells))) if place in chosen else column
            for place, column in enumerate(self.columns)
        )
        return replace(self, columns=tuple(columns))

    def without_column(self, place: int) -> "Grid":
        """One column less."""
        return replace(
            self,
            columns=self.columns[:place] + self.columns[place + 1 :],
            dropped=(*self.dropped, self.columns[place].title),
        )

    def transposed(self) -> "Grid":
        """Rows as columns: the first column has the titles, each other one is a row of this grid."""
        first, *others = self.columns
        titles = Column("Task", tuple(Cell(column.title) for column in others), is_text=True)
        turned = tuple(
            Column(name.text, tuple(column.cells[place] for column in others)) for place, name in enumerate(first.cells)
        )
        return Grid((titles, *turned))
