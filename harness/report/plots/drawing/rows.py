"""Figures of rows: a name at the left, marks in the middle, a number at the right, as in a forest plot."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from matplotlib.axes import Axes

from calvinbench.harness.report.plots.drawing.canvas import canvas, size_in
from calvinbench.harness.report.plots.drawing.text_layout import height_in, shorten, widest_in, wrap
from calvinbench.harness.report.plots.style import small_pt, style

_ROW_PADDING_IN = 0.055
_LEAST_PLOT_SHARE = 0.32
"""Of a figure's width that marks have at least; names are wrapped to what is left."""
_EDGES_IN = 0.25


@contextmanager
def row_axes(
    names: Sequence[str],
    numbers: Sequence[str],
    headings: tuple[str, str],
    colors: Sequence[str],
    xlabel: str,
    ax: Axes | None,
    width: float,
    figsize: tuple[float, float] | None,
) -> Iterator[tuple[Axes, list[float]]]:
    """Axes with names and numbers, and the heights of the rows from the top, to draw the marks at.

    Args:
        names: At the left.
        numbers: At the right.
        headings: Above the names and above the numbers.
        colors: Of the names.
        xlabel: Below the axes.
        ax: The caller's axes; None for those of a new figure.
        width: Of a new figure in inches.
        figsize: Width and height of a new figure; None for `width` and a height that fits.
    """
    with style():
        size = small_pt()
        total_in = (width if figsize is None else figsize[0]) if ax is None else size_in(ax)[0] * 1.25
        numbers_in = widest_in([*numbers, headings[1]], size)
        names_in = max(0.5, (1 - _LEAST_PLOT_SHARE) * total_in - numbers_in - _EDGES_IN)
        lines = [wrap(name, names_in, size) for name in names]
        row_in = [height_in(name, size) + _ROW_PADDING_IN for name in lines]
        height = sum(row_in) + 0.55
        if ax is not None and sum(row_in) > size_in(ax)[1]:
            lines = [shorten(name, names_in, size) for name in names]
            row_in = [1.0] * len(lines)
    with canvas(ax, figsize or (width, height)) as ax:  # noqa: PLR1704
        unit = sum(row_in) / len(row_in) if row_in else 1.0
        tops = [sum(row_in[:place]) for place in range(len(row_in))]
        heights = [-(top + high / 2) / unit for top, high in zip(tops, row_in, strict=True)]
        ax.set_yticks(heights, lines, fontsize=size)
        for label, color in zip(ax.get_yticklabels(), colors, strict=True):
            label.set_color(color)
            label.set_linespacing(1.05)
        ax.set_ylim(-sum(row_in) / unit if row_in else -1.0, 0)
        ax.tick_params(axis="y", length=0)
        ax.spines[["left", "top", "right"]].set_visible(False)
        for at, text in zip(heights, numbers, strict=True):
            ax.annotate(
                *(text, (1.0, at)),
                xycoords=ax.get_yaxis_transform(),
                xytext=(4, 0),
                textcoords="offset points",
                ha="left",
                va="center",
                fontsize=size,
            )
        for text, side, aside, ha in ((headings[0], 0.0, -3, "right"), (headings[1], 1.0, 4, "left")):
            ax.annotate(
                *(text, (side, 1.0)),
                xycoords="axes fraction",
                xytext=(aside, 2),
                textcoords="offset points",
                ha=ha,
                va="bottom",
                fontsize=size,
                fontweight="bold",
            )
        beside_in = widest_in(lines, size)
        plot_in = total_in - beside_in - numbers_in - _EDGES_IN
        ax.set_xlabel(wrap(xlabel, plot_in + 1.8 * min(beside_in, numbers_in), size), fontsize=size)
        yield ax, heights
