"""Success of each task."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from calvinbench.harness.labels import labels
from calvinbench.harness.plots.style import axes, legend, looks
from calvinbench.harness.runs import Run
from calvinbench.harness.statistics import Intervals, task_success


def tasks(runs: Sequence[Run], ax: Axes | None = None, intervals: Intervals = "wilson") -> Axes:
    """Success of each task, solved over reached with 95% intervals.

    At the right, how often it was reached (n): the least and the most where several runs differ.

    Args:
        runs: Runs with at least one finished chain.
        ax: Where to draw; None for a new figure, as high as the tasks need.
        intervals: Of the rates.
    """
    successes = [task_success(run.records, intervals=intervals) for run in runs]
    names = sorted({task for success in successes for task in success}, reverse=True)
    num_runs = max(len(runs), 1)
    with axes(ax, height_in=0.6 + max(0.16, 0.08 * num_runs) * max(len(names), 4) + 0.18 * num_runs) as ax:  # noqa: PLR1704
        thickness = 0.84 / num_runs
        for index, (success, label, look) in enumerate(zip(successes, labels(runs), looks(len(runs)), strict=True)):
            reached = [task for task in names if task in success]
            heights = np.array([names.index(task) for task in reached]) + (num_runs / 2 - index - 0.5) * thickness
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
        for height, task in enumerate(names):
            counts = sorted({success[task].num_trials for success in successes if task in success})
            ax.text(103, height, "\u2013".join(map(str, counts[:1] + counts[1:][-1:])), va="center", ha="left")
        ax.text(103, len(names) - 0.4, "n", va="bottom", ha="left")
        ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        ax.set_ylim(-0.6, len(names) - 0.4)
        ax.set_xlim(0, 101)
        ax.set_xlabel("solved of those reached (%)")
        legend(ax)
        return ax
