"""Methods under several conditions, such as scenes or instruction sets: a panel for each condition."""

from collections.abc import Mapping, Sequence

import numpy as np

from calvinbench.harness.analysis.comparable import are_of_tasks
from calvinbench.harness.analysis.statistics import Interval
from calvinbench.harness.analysis.training_seeds import rate_of
from calvinbench.harness.report.plots.colors import looks
from calvinbench.harness.report.plots.drawing.canvas import new_figure
from calvinbench.harness.report.plots.drawing.text_layout import height_in, widest_in, wrap
from calvinbench.harness.report.plots.style import WIDE_IN, small_pt, style
from calvinbench.harness.report.table_input import TableInput

_PADDING_IN, _AROUND_IN = 0.07, 0.45
_NAMES_SHARE = 0.3
"""Of a figure's width that names have at most."""
_GAP_IN = 0.15
_BEYOND = 1.05
"""How far an axis goes, in units of the highest end of an interval."""


def conditions(
    tables: Sequence[tuple[str, TableInput]],
    *,
    colors: Mapping[str, str] | None = None,
    figsize: tuple[float, float] | None = None,
) -> np.ndarray:
    """Average length of each method under each condition, with 95% intervals; of single tasks, the percent solved.

    Each panel has an axis of its own: numbers of different scenes cannot be compared with each other, but the order of
    methods can. A method that was not run under a condition has no mark there.

    Args:
        tables: At least one condition: its title and its methods.
        colors: Colours of methods by name, see `method_colors`; None for those of the palette.
        figsize: Width and height in inches; None for 7 inches and a height that fits.

    Returns:
        The axes, one for each condition.
    """
    if not tables:
        raise ValueError("expected at least one condition for a figure, got none.")
    names = list(dict.fromkeys(method.name for _, table in tables for method in table.methods))
    marked = {method.name: method.marked_name for _, table in tables for method in table.methods}
    look_of = looks(names, colors)
    width = WIDE_IN if figsize is None else figsize[0]
    with style():
        size = small_pt()
        lines = [wrap(marked[name], _NAMES_SHARE * width, size) for name in names]
        panel_in = (width - widest_in(lines, size) - _GAP_IN) / len(tables) - _GAP_IN
        titles = [wrap(title, panel_in, size) for title, _ in tables]
        tops = np.cumsum([0.0, *(height_in(line, size) + _PADDING_IN for line in lines)])
        above = max(height_in(title, size) for title in titles)
        figure = new_figure(figsize or (width, tops[-1] + above + _AROUND_IN))
        axes = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
        heights = dict(zip(names, -(tops[:-1] + tops[1:]) / 2, strict=True))
        for ax, title, (_, table) in zip(axes, titles, tables, strict=True):
            found = _estimates(table)
            for name, value, interval in found:
                look, height = look_of[name], heights[name]
                ax.plot([interval.low, interval.high], [height, height], color=look.color)
                ax.plot([value], [height], look.marker, color=look.color, markerfacecolor=look.face)
            ax.set_title(title, loc="left", fontsize=size, parse_math=False)
            ax.set_xlabel("tasks solved (%)" if are_of_tasks(table.runs) else "average length", fontsize=size)
            ax.set_xlim(0.0, _BEYOND * max([interval.high for *_, interval in found], default=0.0) or 1.0)
            ax.grid(axis="y", color="0.9", linewidth=0.6)
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
        axes[0].set_yticks(list(heights.values()), lines, parse_math=False)
        axes[0].set_ylim(-tops[-1], 0.0)
    return np.asarray(axes)


def _estimates(table: TableInput) -> list[tuple[str, float, Interval]]:
    """The name of each method that has a finished chain, its result and its interval."""
    found = []
    for summary in table.summaries:
        if not summary.num_chains:
            continue
        if are_of_tasks(table.runs):
            rate = summary.success[0]
            interval = Interval(100 * rate.interval.low, 100 * rate.interval.high)
            found.append((summary.method.name, 100 * rate_of(rate), interval))
        else:
            length = summary.average_length
            found.append((summary.method.name, length.value, length.interval))
    return found
