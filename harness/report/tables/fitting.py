"""Makes a table as narrow as paper or terminal: breaks names, moves or drops intervals, drops columns."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from calvinbench.harness.report.tables.grid import Column, Grid

Measure = Callable[[str], float]
"""The width of a line of text."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A table that fits, in one block or in several below each other.

    Attributes:
        blocks: Tables with the same first column.
        widths: The widths of each block's columns.
    """

    blocks: tuple[Grid, ...]
    widths: tuple[tuple[float, ...], ...]


def fit(grid: Grid, width: float, measure: Measure, gap: float) -> Fitted:
    """The table in the widest form that fits, see `_forms`; in several blocks if none does.

    Args:
        grid: The table.
        width: That there is.
        measure: Width of a line of text, in the same unit.
        gap: Between two columns.
    """
    narrowest = grid
    for candidate in _forms(grid):
        widths = _widths(candidate, width, measure, gap)
        if widths is not None:
            return Fitted((candidate,), (widths,))
        narrowest = candidate
    blocks = tuple(_blocks(narrowest, width, measure, gap))
    return Fitted(blocks, tuple(_least(block, measure) for block in blocks))


def _forms(grid: Grid) -> Iterator[Grid]:
    """Forms of a table, from the widest to the narrowest."""
    below = grid.with_intervals_below()
    yield grid
    yield from _with_fewer(below, 1)
    # Intervals of rates are left out, and optional columns are there again.
    rates_alone = grid.without_intervals(but_kept=True)
    yield rates_alone.with_intervals_beside()
    without_attributes = list(_with_fewer(rates_alone.with_intervals_below(), 1))
    without_middle = list(_with_fewer(without_attributes[-1], 3))
    yield from without_attributes
    yield from without_middle
    yield without_middle[-1].without_intervals(but_kept=False)


def _with_fewer(grid: Grid, level: int) -> Iterator[Grid]:
    """The table itself, and with fewer and fewer optional columns of a level."""
    yield grid
    while (place := _dispensable(grid, level)) is not None:
        grid = grid.without_column(place)
        yield grid


def _dispensable(grid: Grid, level: int) -> int | None:
    """The last column that may be dropped at a level."""
    places = [place for place, column in enumerate(grid.columns) if column.optional == level]
    return places[-1] if places else None


def _widths(grid: Grid, width: float, measure: Measure, gap: float) -> tuple[float, ...] | None:
    """The width of each column; columns of text are broken if need be. None if they do not fit."""
    left = width - gap * (len(grid.columns) - 1)
    whole = [_whole(column, measure) for column in grid.columns]
    if sum(whole) <= left:
        return tuple(whole)
    least = _least(grid, measure)
    if sum(least) > left:
        return None
    spare = left - sum(least)
    widths = []
    for longest, shortest in zip(whole, least, strict=True):
        more = min(longest - shortest, spare)
        widths.append(shortest + more)
        spare -= more
    return tuple(widths)


def _lines(column: Column) -> list[str]:
    return [*column.group.split(), *column.title.split(), *(line for cell in column.cells for line in cell.lines)]


def _whole(column: Column, measure: Measure) -> float:
    return max(measure(line) for line in _lines(column))


def _least(grid: Grid, measure: Measure) -> tuple[float, ...]:
    """The least widths: of columns of text, that of the longest word."""
    return tuple(
        max(measure(word) for line in _lines(column) for word in (line.split() or [""]))
        if column.is_text
        else max(_whole(column, measure), 0.0)
        for column in grid.columns
    )


def _blocks(grid: Grid, width: float, measure: Measure, gap: float) -> Iterator[Grid]:
    """Parts of a table that is too wide, each with the first column."""
    first, *others = zip(grid.columns, _least(grid, measure), strict=True)
    columns, used = [first[0]], first[1]
    for column, least in others:
        if len(columns) > 1 and used + gap + least > width:
            yield Grid(tuple(columns), grid.num_published, grid.dropped)
            columns, used = [first[0]], first[1]
        columns.append(column)
        used += gap + least
    yield Grid(tuple(columns), grid.num_published, grid.dropped)
