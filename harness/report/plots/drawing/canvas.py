"""Where a figure is drawn: in a new figure, or in axes that the caller gives."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from calvinbench.harness.report.plots.style import figure_of, style

_MARGIN_PT = 2.0
_LEAST_SHARE = 0.25
"""Of its room that axes keep for what is drawn, however long labels are."""
_ROUNDS = 4


@contextmanager
def canvas(ax: Axes | None, figsize: tuple[float, float]) -> Iterator[Axes]:
    """Axes to draw into, with the style in force. Labels outside of given axes are then brought inside their room.

    Args:
        ax: The caller's axes; None for those of a new figure.
        figsize: Width and height of a new figure in inches.
    """
    with style():
        if ax is None:
            ax = new_figure(figsize).add_subplot()
        yield ax
        keep_inside(ax)


def new_figure(figsize: tuple[float, float]) -> Figure:
    """A figure with constrained layout. Pyplot knows it, and so shows it, where the caller uses pyplot."""
    if "matplotlib.pyplot" in sys.modules or "inline" in os.environ.get("MPLBACKEND", ""):
        from matplotlib import pyplot

        return pyplot.figure(figsize=figsize, layout="constrained")
    return Figure(figsize=figsize, layout="constrained")


def size_in(ax: Axes) -> tuple[float, float]:
    """Width and height of axes in inches, after layout."""
    figure = figure_of(ax)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    box = ax.get_window_extent()
    return box.width / figure.dpi, box.height / figure.dpi


def keep_inside(ax: Axes) -> None:
    """Makes axes smaller until their labels are inside the axes' cell of the figure. A layout engine does it itself."""
    figure = figure_of(ax)
    if figure.get_layout_engine() is not None:
        return
    room = _room(ax)
    for _ in range(_ROUNDS):
        drawn = ax.get_tightbbox()
        if drawn is None:
            return
        drawn = drawn.transformed(figure.transFigure.inverted())
        position = ax.get_position()
        left, right = max(0.0, room.x0 - drawn.x0), max(0.0, drawn.x1 - room.x1)
        below, above = max(0.0, room.y0 - drawn.y0), max(0.0, drawn.y1 - room.y1)
        if max(left, right, below, above) < 1e-4:
            return
        width = max(position.width - left - right, _LEAST_SHARE * room.width)
        height = max(position.height - below - above, _LEAST_SHARE * room.height)
        ax.set_position((position.x0 + left, position.y0 + below, width, height))


def _room(ax: Axes) -> Bbox:
    """The axes' cell of the figure with half the gaps around it, in shares of the figure."""
    figure = figure_of(ax)
    margins = _MARGIN_PT / 72 / figure.get_size_inches()
    edges = np.array([[0.0, 0.0], [1.0, 1.0]]) + [margins, -margins]
    spec = ax.get_subplotspec()
    if spec is None:
        return Bbox(edges)
    bottoms, tops, lefts, rights = spec.get_gridspec().get_grid_positions(figure)
    rows, columns = spec.rowspan, spec.colspan
    if columns.start > 0:
        edges[0, 0] = (rights[columns.start - 1] + lefts[columns.start]) / 2
    if columns.stop < len(lefts):
        edges[1, 0] = (rights[columns.stop - 1] + lefts[columns.stop]) / 2
    if rows.start > 0:
        edges[1, 1] = (bottoms[rows.start - 1] + tops[rows.start]) / 2
    if rows.stop < len(tops):
        edges[0, 1] = (bottoms[rows.stop - 1] + tops[rows.stop]) / 2
    return Bbox(edges)
