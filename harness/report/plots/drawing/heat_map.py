"""Numbers in coloured cells, in groups of rows under headings."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

import numpy as np
from jaxtyping import Float64
from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap

from calvinbench.harness.report.plots.drawing.canvas import canvas, size_in
from calvinbench.harness.report.plots.drawing.text_layout import (
    LINE_HEIGHT,
    breaks_no_word,
    height_in,
    widest_in,
    width_in,
    wrap,
)
from calvinbench.harness.report.plots.style import small_pt, style, tiny_pt

_ROW_IN = 0.128
_DARK_FROM = 0.55
"""Share of the colour scale from which numbers are white."""
_LONGEST_UPRIGHT_IN = 1.3
"""Names that are longer, read upwards, are replaced by letters with a key below."""
_CELL_PADDING_IN = 0.02
_EMPTY = "\N{MIDDLE DOT}"


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under one heading.

    Attributes:
        heading: Their heading; empty for none.
        rows: Names of the rows.
        values: What the colours show, from 0 to 1; NaN for an empty cell.
        texts: The numbers in the cells.
        notes: A few letters at the right of each row; empty for none.
        is_weak: Which numbers are in italics; empty for none.
    """

    heading: str
    rows: tuple[str, ...]
    values: Float64[np.ndarray, "rows columns"]
    texts: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    is_weak: tuple[tuple[bool, ...], ...] = ()


def draw_heat_map(
    groups: Sequence[Group],
    columns: Sequence[str],
    colors: Sequence[str],
    note_heading: str,
    below: str,
    ax: Axes | None,
    width: float,
    figsize: tuple[float, float] | None,
) -> Axes:
    """Draws the cells with a number in each.

    Args:
        groups: Groups of rows, from the top.
        columns: Names of the columns.
        colors: Colours of these names.
        note_heading: Above the notes at the right.
        below: Text below the cells.
        ax: The caller's axes; None for those of a new figure.
        width: Of a new figure in inches.
        figsize: Width and height of a new figure; None for `width` and a height that fits.
    """
    with style():
        rows = [name for group in groups for name in group.rows]
        headings = [group.heading for group in groups if group.heading]
        num_rows = len(rows) + len(headings)
        room_in = (width if figsize is None else figsize[0]) if ax is None else size_in(ax)[0]
        names_in = max(widest_in(rows, small_pt()), _bold_in(headings)) if ax is None else 0.0
        notes_in = widest_in([note for group in groups for note in group.notes], tiny_pt())
        cells_in = room_in - names_in - 0.14
        least_in = _widest_text_in(groups) + _CELL_PADDING_IN
        has_notes = notes_in > 0 and (cells_in - notes_in - 0.06) / max(len(columns), 1) >= least_in
        cell_in = (cells_in - has_notes * (notes_in + 0.06)) / max(len(columns), 1)
        named = _column_names(columns, cell_in)
        below = wrap(below, cells_in, small_pt())
        key = "\n".join(wrap(line, cells_in, small_pt()) for line in named.key)
        height = num_rows * _ROW_IN + named.height_in + height_in(below, small_pt()) + 0.12
        height += height_in(key, small_pt()) if key else 0.0
    with canvas(ax, figsize or (width, height)) as ax:  # noqa: PLR1704
        _draw_cells(ax, groups, len(columns), cell_in)
        _name_rows(ax, groups)
        ax.xaxis.tick_top()
        ax.tick_params(axis="both", length=0)
        ax.set_xticks(range(len(columns)), named.texts, rotation=90 if named.is_upright else 0, fontsize=small_pt())
        for label, color in zip(ax.get_xticklabels(), colors, strict=True):
            label.set_color(color)
            label.set_linespacing(1.05)
        if has_notes:
            _write_notes(ax, groups, note_heading)
        ax.set_xlabel(f"{below}\n{key}" if key else below, fontsize=small_pt(), loc="left", linespacing=1.1)
        ax.spines[:].set_visible(False)
        return ax


def _bold_in(headings: Sequence[str]) -> float:
    return max((width_in(heading, small_pt(), "bold") for heading in headings), default=0.0)


def _widest_text_in(groups: Sequence[Group]) -> float:
    return widest_in([text for group in groups for row in group.texts for text in row], tiny_pt())


def _rows(groups: Sequence[Group]) -> list[tuple[Group, int]]:
    """The rows from the top, with their place in their group; -1 for a heading."""
    found = []
    for group in groups:
        found += [(group, -1)] if group.heading else []
        found += [(group, place) for place in range(len(group.rows))]
    return found


def _draw_cells(ax: Axes, groups: Sequence[Group], num_columns: int, cell_in: float) -> None:
    rows = _rows(groups)
    empty = np.full(num_columns, np.nan)
    table = np.array([empty if place < 0 else group.values[place] for group, place in rows])
    size = min(small_pt(), tiny_pt() * max(1.0, cell_in / (_widest_text_in(groups) + 3 * _CELL_PADDING_IN)))
    if len(rows):
        edges_x, edges_y = np.arange(num_columns + 1) - 0.5, np.arange(len(rows) + 1) - 0.5
        # Vector cells: an image would be blurred in some viewers, and its pixels are visible in print.
        ax.pcolormesh(edges_x, edges_y, table, cmap=_color_map(), vmin=0, vmax=1, edgecolors="white", linewidth=0.4)
    for height, (group, place) in enumerate(rows):
        if place < 0:
            continue
        for column in range(num_columns):
            value, text = group.values[place, column], group.texts[place][column]
            is_dark = np.isfinite(value) and value > _DARK_FROM
            color = "white" if is_dark else "black" if np.isfinite(value) else "0.5"
            slant = "italic" if group.is_weak and group.is_weak[place][column] else "normal"
            ax.text(
                *(column, height, text or _EMPTY),
                ha="center",
                va="center",
                fontsize=size,
                color=color,
                style=slant,
                in_layout=False,  # they are inside the axes, and hundreds of them would be measured for nothing
            )
    ax.set_xlim(-0.5, max(num_columns, 1) - 0.5)
    ax.set_ylim(max(len(rows), 1) - 0.5, -0.5)


def _color_map() -> Colormap:
    """The colours of `image.cmap`, without their darkest, on which numbers are hard to read in print."""
    whole = colormaps[rcParams["image.cmap"]]
    return ListedColormap([whole(share) for share in np.linspace(0.0, 0.9, 256)])


def _name_rows(ax: Axes, groups: Sequence[Group]) -> None:
    rows = _rows(groups)
    ax.set_yticks(
        range(len(rows)),
        [group.heading if place < 0 else group.rows[place] for group, place in rows],
        fontsize=small_pt(),
    )
    for label, (_, place) in zip(ax.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if place < 0 else "normal")


def _write_notes(ax: Axes, groups: Sequence[Group], heading: str) -> None:
    to_right = ax.get_yaxis_transform()
    rows = _rows(groups)
    for height, (group, place) in enumerate(rows):
        if place >= 0 and group.notes:
            ax.annotate(
                *(group.notes[place], (1.0, height)),
                xycoords=to_right,
                xytext=(3, 0),
                textcoords="offset points",
                fontsize=tiny_pt(),
                va="center",
                color="0.3",
            )
    ax.annotate(
        *(heading, (1.0, 1.0)),
        xycoords="axes fraction",
        xytext=(3, 3),
        textcoords="offset points",
        fontsize=small_pt(),
        va="bottom",
        color="0.3",
    )


@dataclass(frozen=True, slots=True)
class _ColumnNames:
    texts: tuple[str, ...]
    is_upright: bool
    height_in: float
    key: tuple[str, ...] = ()


def _column_names(names: Sequence[str], cell_in: float) -> _ColumnNames:
    """Names above their columns: level if they fit, else upright, else letters with a key."""
    size = small_pt()
    level = [wrap(name, cell_in - 0.04, size) for name in names]
    is_whole = all(breaks_no_word(name, cell_in - 0.04, size) for name in names)
    if is_whole and max((name.count("\n") for name in level), default=0) < 3:
        return _ColumnNames(tuple(level), False, max((height_in(name, size) for name in level), default=0.0))
    num_lines = max(1, int((cell_in - 0.02) / (LINE_HEIGHT * size / 72)))
    upright = [wrap(name, _LONGEST_UPRIGHT_IN, size) for name in names]
    if max(name.count("\n") + 1 for name in upright) <= num_lines:
        return _ColumnNames(tuple(upright), True, widest_in(upright, size))
    letters = [ascii_uppercase[number] if number < 26 else str(number + 1) for number in range(len(names))]
    key = tuple(f"{letter}  {name}" for letter, name in zip(letters, names, strict=True))
    return _ColumnNames(tuple(letters), False, height_in("A", size), key)
