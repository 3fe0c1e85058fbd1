"""What success costs."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from calvinbench.harness.analysis.labels import labels
from calvinbench.harness.analysis.speed import speed
from calvinbench.harness.analysis.statistics import Mean, average_length, bootstrap_generator
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.plots.style import axes, legend, logarithmic, looks, marks


def tradeoff(runs: Sequence[Run], ax: Axes | None = None) -> Axes:
    """Average length, with 95% intervals, against the policy's milliseconds a step; returns the axes drawn into.

    Args:
        runs: Runs with at least one finished chain; those whose records do not tell the time are left out.
        ax: Where to draw; None for a new figure.
    """
    with axes(ax, height_in=2.4, names=labels(runs)) as ax:  # noqa: PLR1704
        for run, label, look in zip(runs, labels(runs), looks(len(runs)), strict=True):
            took = speed(run).policy_ms
            if np.isnan(took) or not run.records:
                continue
            mean = _mean(run)
            marks(ax, [took], [mean], look, label)
        logarithmic(ax)
        ax.set_xlabel("policy, ms per step (median)")
        ax.set_ylabel("average length")
        legend(ax)
        return ax


def _mean(run: Run) -> Mean:
    return average_length(run.completed, bootstrap_generator(), chain_length=run.chain_length)
