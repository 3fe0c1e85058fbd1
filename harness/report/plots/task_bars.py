"""Success of each task."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calvinbench.harness.analysis.labels import labels
from calvinbench.harness.analysis.statistics import Intervals, Proportion, task_success
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.plots.style import STYLE, WIDE_IN, Look, ShownAxes, axes, legend, looks

MOST_SIDE_BY_SIDE = 4
"""Runs whose bars for a task stand below each other."""
_MOST_PANELS_A_ROW = 12
_MOST_WITH_LEVEL_TITLES = 6
"""Panels of a row whose titles are read from left to right; of more they are read upwards, for lack of width."""
_TITLE_IN_LETTERS = 85
"""Letters of 8 pt over all panels of a row."""
_UPRIGHT_TITLE_IN_LETTERS = 38
_COUNTS_AT = 101
"""Percent, where the axes end."""
_COUNTS_ASIDE_PT = 5
"""Clear of the intervals' caps, however narrow the axes are."""


def tasks(runs: Sequence[Run], ax: Axes | None = None, intervals: Intervals = "wilson") -> Axes:
    """Success of each task, solved over reached with 95% intervals.

    At the right, how often it was reached (n): the least and the most where several runs differ. In a new figure, more
    than four runs have a panel each, over both columns of a page, of which the first is returned; more than six stand
    under titles read upwards.

    Args:
        runs: Runs with at least one finished chain.
        ax: Where to draw; None for a new figure, as high as the tasks need.
        intervals: Of the rates.
    """
    successes = [task_success(run.records, intervals=intervals) for run in runs]
    names = sorted({task for success in successes for task in success}, reverse=True)
    if ax is None and len(runs) > MOST_SIDE_BY_SIDE:
        return _panels(runs, successes, names)
    num_runs = max(len(runs), 1)
    with axes(ax, height_in=0.6 + max(0.16, 0.08 * num_runs) * max(len(names), 4) + 0.18 * num_runs) as ax:  # noqa: PLR1704
        thickness = 0.84 / num_runs
        for index, (success, label, look) in enumerate(zip(successes, labels(runs), looks(len(runs)), strict=True)):
            _bars(ax, success, names, look, label, (num_runs / 2 - index - 0.5) * thickness, thickness)
        _counts(ax, successes, names)
        _name_tasks(ax, names)
        ax.set_xlabel("solved (% of times reached)")
        legend(ax)
        return ax


def _panels(runs: Sequence[Run], successes: Sequence[Mapping[str, Proportion]], names: Sequence[str]) -> Axes:
    """A panel a run, in rows of about the same number."""
    num_rows = -(-len(runs) // _MOST_PANELS_A_ROW)
    num_columns = -(-len(runs) // num_rows)
    with rc_context(STYLE):
        is_upright = num_columns > _MOST_WITH_LEVEL_TITLES
        title_in_letters = _UPRIGHT_TITLE_IN_LETTERS if is_upright else _TITLE_IN_LETTERS // num_columns
        height_in = num_rows * ((2.5 if is_upright else 1.1) + 0.145 * max(len(names), 4))
        figure = Figure(figsize=(WIDE_IN, height_in), layout="constrained")
        panels = figure.subplots(
            num_rows, num_columns, sharex=True, sharey=True, squeeze=False, subplot_kw={"axes_class": ShownAxes}
        )
        for panel in panels.flat[len(runs) :]:
            panel.set_axis_off()
        named = zip(panels.flat, successes, labels(runs), looks(len(runs)), strict=False)
        for panel, success, label, look in named:
            _bars(panel, success, names, look._replace(hatch=""), label, 0.0, 0.84)
            name, size = label.partition(" (")[::2]
            parts = [name, f"({size}"] if size else [name]
            title = "\n".join(fill(part, title_in_letters) for part in parts)
            panel.set_title(title, loc="left", rotation=90 if is_upright else 0)
            panel.set_xticks([0, 50, 100], ["0", "", "100"])
            panel.tick_params(labelbottom=True)
        for row, panel in enumerate(panels[:, -1]):
            _counts(panel, successes[row * num_columns :][:num_columns], names)
        _name_tasks(panels[0, 0], names)
        figure.supxlabel("solved (% of times reached)", fontsize=STYLE["font.size"])
        first: Axes = panels[0, 0]
        return first


def _bars(
    ax: Axes,
    success: Mapping[str, Proportion],
    names: Sequence[str],
    look: Look,
    label: str,
    aside: float,
    thickness: float,
) -> None:
    """A bar with its interval for each task that was reached, `aside` from its place."""
    reached = [task for task in names if task in success]
    heights = np.array([names.index(task) for task in reached]) + aside
    rates = np.array([100 * success[task].rate for task in reached])
    low = np.array([100 * success[task].interval.low for task in reached])
    high = np.array([100 * success[task].interval.high for task in reached])
    ax.barh(
        heights,
        rates,
        height=thickness * 0.92,
        color=look.colour,
        hatch=look.hatch,
        edgecolor="white",
        linewidth=0.3,
        label=label,
    )
    ax.errorbar(
        rates,
        heights,
        xerr=np.clip([rates - low, high - rates], 0, None),
        fmt="none",
        ecolor="black",
        elinewidth=0.6,
        capsize=1.2,
    )


def _counts(ax: Axes, successes: Sequence[Mapping[str, Proportion]], names: Sequence[str]) -> None:
    """At the right, how often each task was reached."""
    for height, task in enumerate(names):
        counts = sorted({success[task].num_trials for success in successes if task in success})
        _beside(ax, height, "\u2013".join(map(str, counts[:1] + counts[1:][-1:])), va="center")
    _beside(ax, len(names) - 0.4, "n", va="bottom")


def _beside(ax: Axes, height: int | float, text: str, va: str) -> None:
    """Writes to the right of the axes."""
    ax.annotate(text, (_COUNTS_AT, height), (_COUNTS_ASIDE_PT, 0), textcoords="offset points", va=va, ha="left")


def _name_tasks(ax: Axes, names: Sequence[str]) -> None:
    ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xlim(0, 101)
