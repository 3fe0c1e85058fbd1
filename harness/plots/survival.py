"""Success rate against subtasks completed in a row."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from calvinbench.harness.labels import labels
from calvinbench.harness.plots.style import axes, legend, looks
from calvinbench.harness.records import NUM_SUBTASKS
from calvinbench.harness.runs import Run
from calvinbench.harness.statistics import survival_curve

_BOOTSTRAP_SEED = 0


def survival(runs: Sequence[Run], ax: Axes | None = None) -> Axes:
    """Success rate at 1..5 subtasks in a row, with a simultaneous 95% band; returns the axes drawn into.

    Args:
        runs: Runs with at least one finished chain; others are left out.
        ax: Where to draw; None for a new figure.
    """
    with axes(ax, height_in=2.6, names=labels(runs)) as ax:  # noqa: PLR1704
        positions = np.arange(1, NUM_SUBTASKS + 1)
        for run, label, look in zip(runs, labels(runs), looks(len(runs)), strict=True):
            if not run.records:
                continue
            curve = survival_curve(run.completed, np.random.default_rng(_BOOTSTRAP_SEED))
            ax.fill_between(positions, 100 * curve.low, 100 * curve.high, color=look.colour, alpha=0.18, linewidth=0)
            ax.plot(
                positions,
                100 * curve.rates,
                color=look.colour,
                linestyle=look.line,
                marker=look.marker,
                markerfacecolor=look.face,
                markersize=4,
                linewidth=1.2,
                label=label,
            )
        ax.set_xlabel("subtasks completed in a row")
        ax.set_ylabel("chains (%)")
        ax.set_xticks(positions)
        ax.set_ylim(-3, 103)
        legend(ax)
        return ax
