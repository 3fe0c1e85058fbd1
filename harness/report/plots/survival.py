"""Success rate against subtasks completed in a row."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from calvinbench.envs.chains import CHAIN_LENGTH
from calvinbench.harness.analysis.comparable import require_one_length
from calvinbench.harness.analysis.labels import labels
from calvinbench.harness.analysis.statistics import bootstrap_generator, survival_curve
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.plots.style import aside, axes, legend, looks

_MOST_FILLED = 4
"""Runs whose bands are filled; those of more would hide each other, and are bars side by side."""
_WIDTH = 0.76
"""Over which the bars of one number of subtasks are spread, in units of the distance to the next."""


def survival(runs: Sequence[Run], ax: Axes | None = None) -> Axes:
    """Success rate at 1, 2, ... subtasks in a row, with a simultaneous 95% band; returns the axes drawn into.

    Bands of up to four runs are filled; of more they are upright bars, and the runs stand side by side.

    Args:
        runs: Runs with at least one finished chain, of chains of one length; those without a chain are left out.
        ax: Where to draw; None for a new figure.
    """
    require_one_length(runs)
    numbers = np.arange(1, (runs[0].chain_length if runs else CHAIN_LENGTH) + 1)
    are_filled = len(runs) <= _MOST_FILLED
    with axes(ax, height_in=2.6 if are_filled else 3.2, names=labels(runs)) as ax:  # noqa: PLR1704
        for number, (run, label, look) in enumerate(zip(runs, labels(runs), looks(len(runs)), strict=True)):
            if not run.records:
                continue
            curve = survival_curve(run.completed, bootstrap_generator(), chain_length=run.chain_length)
            positions = numbers + (0.0 if are_filled else aside(number, len(runs), _WIDTH))
            if are_filled:
                ax.fill_between(
                    positions, 100 * curve.low, 100 * curve.high, color=look.colour, alpha=0.18, linewidth=0
                )
            else:
                ax.vlines(positions, 100 * curve.low, 100 * curve.high, color=look.colour, linewidth=0.8)
            ax.plot(
                positions,
                100 * curve.rates,
                color=look.colour,
                linestyle=look.line,
                marker=look.marker,
                markerfacecolor=look.face,
                markersize=4 if are_filled else 3,
                linewidth=1.2 if are_filled else 0.5,
                label=label,
            )
        ax.set_xlabel("subtasks completed in a row")
        ax.set_ylabel("chains (%)")
        ax.set_xticks(numbers)
        ax.set_ylim(-3, 103)
        legend(ax)
        return ax
