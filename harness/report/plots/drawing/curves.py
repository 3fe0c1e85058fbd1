"""Curves over the position in a chain: in one pair of axes with names beside them, or a panel for each method."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes

from calvinbench.harness.report.plots.colors import Look
from calvinbench.harness.report.plots.drawing.canvas import canvas, new_figure
from calvinbench.harness.report.plots.drawing.direct_labels import LabelledPoint, column_height_in, label_at_right
from calvinbench.harness.report.plots.drawing.text_layout import LINE_HEIGHT, breaks_no_word, wrap
from calvinbench.harness.report.plots.style import small_pt, style

Legend = bool | Literal["direct"]
"""`"direct"`: names beside what they name. True: matplotlib's legend. False: none."""
MOST_TOGETHER = 6
"""Curves of one pair of axes; of more each has a panel."""
_SPREAD = 0.3
"""Over which the bars of one position stand, in units of the distance to the next."""
_TIE_BREAK = 0.15
"""Of a curve's mean: so much higher its name wants to be, so that names of curves that end alike are in their order."""
_CONTEXT = "0.82"
"""Grey of the other methods' curves in a panel."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One method's curve.

    Attributes:
        name: The method's name.
        look: How it is drawn.
        values: Percent at 1, 2, ...; NaN where there is none.
        low: Lower ends of the intervals.
        high: Upper ends.
        note: A few letters for its panel.
        is_weak: Where the number of tries is small: such marks are outlines.
    """

    name: str
    look: Look
    values: Float64[np.ndarray, " k"]
    low: Float64[np.ndarray, " k"]
    high: Float64[np.ndarray, " k"]
    note: str = ""
    is_weak: tuple[bool, ...] = ()


def draw_curves(
    curves: Sequence[Curve],
    num_places: int,
    words: tuple[str, str],
    ax: Axes | None,
    width: float,
    figsize: tuple[float, float] | None,
    legend: Legend,
    most_filled: int = 3,
) -> Axes | np.ndarray:
    """Draws the curves.

    Args:
        curves: One for each method.
        num_places: Positions on the x axis.
        words: Below the x axis, and beside the y axis.
        ax: The caller's axes; then all curves are in them.
        width: Of a new figure in inches.
        figsize: Width and height of a new figure in inches; None for `width` and a height that fits.
        legend: How curves are named.
        most_filled: Number of curves up to which bands are filled; those of more are bars, which hide less.

    Returns:
        The axes; an array with the axes of each method if there are more than six in a new figure.
    """
    if ax is None and len(curves) > MOST_TOGETHER:
        return _panels(curves, num_places, words, width if figsize is None else figsize[0], figsize)
    with style():
        labels_in = column_height_in([curve.name for curve in curves], width) if legend == "direct" else 0.0
    height = max(2.2 if width < 5 else 2.8, labels_in + 0.4)
    with canvas(ax, figsize or (width, height)) as ax:  # noqa: PLR1704
        are_filled = len(curves) <= most_filled
        for number, curve in enumerate(curves):
            shift = 0.0 if are_filled else _SPREAD * ((number + 0.5) / len(curves) - 0.5)
            _draw(ax, curve, shift, is_filled=are_filled)
        _finish(ax, num_places)
        ax.set_xlabel(words[0])
        ax.set_ylabel(words[1])
        if legend is True:
            ax.legend(loc="best")
        elif legend == "direct" and len(curves) > 1:
            points = [_end(curve) for curve in curves if np.isfinite(curve.values).any()]
            label_at_right(ax, points, width if figsize is None else figsize[0])
        elif legend == "direct" and curves:
            ax.set_title(wrap(curves[0].name, width - 0.7, small_pt()), color=curves[0].look.color, loc="left")
        return ax


def _end(curve: Curve) -> LabelledPoint:
    last = int(np.flatnonzero(np.isfinite(curve.values))[-1])
    rank = _TIE_BREAK * float(np.nanmean(curve.values))
    return LabelledPoint(curve.name, last + 1.0, float(curve.values[last]), curve.look.color, rank)


def _draw(ax: Axes, curve: Curve, shift: float, is_filled: bool, **changes: Any) -> None:
    places = np.arange(1, len(curve.values) + 1) + shift
    look = curve.look
    if is_filled:
        ax.fill_between(places, curve.low, curve.high, color=look.color, alpha=0.18, linewidth=0)
    else:
        ax.vlines(places, curve.low, curve.high, color=look.color, linewidth=0.8)
    ax.plot(
        places,
        curve.values,
        color=look.color,
        linestyle=look.line,
        marker=look.marker,
        markerfacecolor=look.face,
        label=curve.name,
        **changes,
    )
    for place, value, is_weak in zip(places, curve.values, curve.is_weak, strict=False):
        if is_weak:
            ax.plot(place, value, look.marker, color=look.color, markerfacecolor="white", label="_few")


def _finish(ax: Axes, num_places: int) -> None:
    ax.set_xticks(range(1, num_places + 1))
    ax.set_xlim(0.75, num_places + 0.25)
    ax.set_ylim(-3, 103)
    ax.set_yticks([0, 25, 50, 75, 100])


def _panels(
    curves: Sequence[Curve],
    num_places: int,
    words: tuple[str, str],
    width: float,
    figsize: tuple[float, float] | None,
) -> np.ndarray:
    """A panel for each method, with all others in grey behind it."""
    with style():
        num_columns, titles = panel_titles([curve.name for curve in curves], width)
        num_rows = -(-len(curves) // num_columns)
        title_in = max(title.count("\n") + 1 for title in titles) * LINE_HEIGHT * small_pt() / 72
        panel_in = 0.7 if width < 5 else 0.95
        figure = new_figure(figsize or (width, num_rows * (panel_in + title_in + 0.06) + 0.45))
        grid = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)
        for panel in grid.flat[len(curves) :]:
            panel.remove()
        shown = grid.ravel()[: len(curves)]
        for place, (panel, curve, title) in enumerate(zip(shown, curves, titles, strict=True)):
            for other in curves:
                if other is not curve:
                    panel.plot(np.arange(1, len(other.values) + 1), other.values, color=_CONTEXT, linewidth=0.5)
            _draw(panel, replace(curve, look=replace(curve.look, line="-")), 0.0, is_filled=True, markersize=2.5)
            _finish(panel, num_places)
            panel.set_yticks([0, 50, 100])
            panel.tick_params(labelbottom=place + num_columns >= len(curves))
            panel.set_title(title, loc="left", fontsize=small_pt(), color=curve.look.color, linespacing=1.05)
            if curve.note:
                panel.text(
                    *(0.98, 0.97, curve.note), transform=panel.transAxes, ha="right", va="top", fontsize=small_pt()
                )
        figure.supxlabel(words[0])
        figure.supylabel(words[1])
        return shown


_MOST_TITLE_LINES = 2


def panel_titles(names: Sequence[str], width: float) -> tuple[int, list[str]]:
    """How many panels stand side by side, and the names wrapped to their width: as many as leave names legible."""
    size = small_pt()
    most = min(len(names), 4 if width < 5 else 8)
    titles = list(names)
    for num_rows in range(-(-len(names) // most), len(names) // 2 + 1):
        num_columns = -(-len(names) // num_rows)
        panel_in = (width - 0.5) / num_columns - 0.1
        titles = [wrap(name, panel_in, size) for name in names]
        whole = all(breaks_no_word(name, panel_in, size) for name in names)
        if whole and max(title.count("\n") for title in titles) < _MOST_TITLE_LINES:
            return num_columns, titles
    return 2, titles
