"""Methods under several conditions, such as scenes or instruction sets: a panel for each condition."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from calvinbench.harness.analysis.comparable import are_of_tasks
from calvinbench.harness.analysis.method_summaries import rate_of
from calvinbench.harness.analysis.statistics import Interval
from calvinbench.harness.report.plots.style import STYLE, WIDE_IN
from calvinbench.harness.report.table_input import TableInput

_ROW_IN, _LINE_IN, _AROUND_IN = 0.1, 0.13, 0.75
_NAME_LETTERS = 34
_NAMES_IN = 2.0
_TITLE_LETTERS_PER_IN = 15
_COLOR = "#00558a"


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
        colors: Colours of methods by name; None for one colour.
        figsize: Width and height in inches; None for 7 inches and a height that fits.

    Returns:
        The axes, one for each condition.
    """
    if not tables:
        raise ValueError("expected at least one condition for a figure, got none.")
    names = list(dict.fromkeys(method.name for _, table in tables for method in table.methods))
    marked = {method.name: method.marked_name for _, table in tables for method in table.methods}
    lines = [fill(marked[name], _NAME_LETTERS) for name in names]
    tops = np.cumsum([0.0, *(_ROW_IN + _LINE_IN * (1 + line.count("\n")) for line in lines)])
    heights = -(tops[:-1] + tops[1:]) / 2
    with rc_context(STYLE):
        figure = Figure(figsize=figsize or (WIDE_IN, tops[-1] + _AROUND_IN), layout="constrained")
        axes = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
        letters = max(10, int(_TITLE_LETTERS_PER_IN * (figure.get_figwidth() - _NAMES_IN) / len(tables)))
        for ax, (title, table) in zip(axes, tables, strict=True):
            for name, value, interval in _estimates(table):
                height, color = heights[names.index(name)], (colors or {}).get(name, _COLOR)
                ax.plot([interval.low, interval.high], [height, height], color=color, linewidth=1.4)
                ax.plot([value], [height], "o", color=color, markersize=4)
            ax.set_title(fill(title, letters), loc="left", parse_math=False)
            ax.set_xlabel("tasks solved (%)" if are_of_tasks(table.runs) else "average length")
            ax.set_xlim(left=0.0)
            ax.grid(axis="y", color="0.9", linewidth=0.6)
            ax.set_axisbelow(True)
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
        axes[0].set_yticks(heights, lines, parse_math=False)
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
