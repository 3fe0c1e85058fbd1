"""Names beside curves and points, in place of a legend: in a column at the right of the axes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from calvinbench.harness.report.plots.drawing.canvas import size_in
from calvinbench.harness.report.plots.drawing.text_layout import LINE_HEIGHT, height_in, shorten, spread, wrap
from calvinbench.harness.report.plots.style import small_pt, tiny_pt

COLUMN_SHARE = 0.34
"""Of the figure's width that a column of names takes at most."""
_GAP_IN = 0.16
"""Between the axes and the names; lines to the curves cross it."""


@dataclass(frozen=True, slots=True)
class LabelledPoint:
    """A name for a point of the axes.

    Attributes:
        name: The text.
        x: In data units.
        y: In data units.
        color: Of the text and the line to the point.
        rank: How much higher than the point the name should be, in data units; it decides between equal points.
    """

    name: str
    x: float
    y: float
    color: str
    rank: float = 0.0


def column_width_in(figure_width_in: float) -> float:
    """Width of a column of names in inches."""
    return COLUMN_SHARE * figure_width_in


def column_height_in(names: Sequence[str], figure_width_in: float) -> float:
    """Height of a column of names in inches, wrapped to its width."""
    size = small_pt()
    return sum((height_in(wrap(name, column_width_in(figure_width_in), size), size) for name in names), start=0.0)


def label_at_right(ax: Axes, points: Sequence[LabelledPoint], figure_width_in: float) -> None:
    """Writes the names in a column at the right of the axes, at the height of their points, without overlap.

    Names that do not fit into the height of the axes are shortened to one line.

    Args:
        ax: The axes, with their final limits.
        points: The names and their points.
        figure_width_in: Width of the axes' cell of the figure.
    """
    if not points:
        return
    axes_width_in, axes_height_in = size_in(ax)
    size, max_width_in = small_pt(), column_width_in(figure_width_in)
    texts = [wrap(point.name, max_width_in, size) for point in points]
    if sum(height_in(text, size) for text in texts) > axes_height_in + 2 * LINE_HEIGHT * size / 72:
        texts = [shorten(point.name, max_width_in, size) for point in points]
    if sum(height_in(text, size) for text in texts) > axes_height_in:
        size = tiny_pt()
    to_axes = (ax.transData + ax.transAxes.inverted()).transform
    at = np.array([to_axes((point.x, point.y)) for point in points])
    wanted = [to_axes((point.x, point.y + point.rank))[1] for point in points]
    margin = LINE_HEIGHT * size / 72 / axes_height_in
    heights = [height_in(text, size) / axes_height_in for text in texts]
    centres = spread(wanted, heights, -margin, 1 + margin)
    reach = max(1.0, float(at[:, 0].max()))
    for point, text, centre in zip(points, texts, centres, strict=True):
        ax.annotate(
            text,
            xy=(point.x, point.y),
            xytext=(reach + _GAP_IN / max(axes_width_in, 0.5), float(centre)),
            textcoords="axes fraction",
            ha="left",
            va="center",
            fontsize=size,
            color=point.color,
            linespacing=1.05,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": point.color,
                "linewidth": 0.5,
                "shrinkA": 1,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )
