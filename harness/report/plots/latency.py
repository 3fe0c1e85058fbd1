"""How long policies take for an action."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes

from calvinbench.harness.analysis.labels import labels
from calvinbench.harness.analysis.speed import FRAME_MS, speed
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.plots.style import NAME_LENGTH, axes, legend, logarithmic, looks


def latency(runs: Sequence[Run], ax: Axes | None = None) -> Axes:
    """Milliseconds a step: a mark at the median, a line to the 95th percentile; returns the axes drawn into.

    The dotted line is what 30 actions a second leave. Runs whose records do not tell are left out.

    Args:
        runs: Runs.
        ax: Where to draw; None for a new figure.
    """
    told = [
        (fill(label, NAME_LENGTH), found)
        for run, label in zip(runs, labels(runs), strict=True)
        for found in [speed(run)]
    ]
    told = [(label, found) for label, found in told if not np.isnan(found.policy_ms)]
    most_lines = max((label.count("\n") + 1 for label, _ in told), default=1)
    with axes(ax, height_in=0.7 + (0.19 + 0.15 * most_lines) * max(len(told), 1)) as ax:  # noqa: PLR1704
        for height, ((label, found), look) in enumerate(zip(reversed(told), looks(len(told))[::-1], strict=True)):
            ax.plot([found.policy_ms, found.policy_ms_p95], [height, height], color=look.colour, linewidth=1.2)
            ax.plot(
                [found.policy_ms], [height], look.marker, color=look.colour, markerfacecolor=look.face, markersize=4
            )
            said = ax.text(0.0, height + 0.2, label, transform=ax.get_yaxis_transform(), va="bottom", ha="left")
            said.set_in_layout(False)  # a long name must not make the axes narrow
        ax.axvline(FRAME_MS, color="0.5", linewidth=0.8, linestyle=":", label="30 Hz")
        logarithmic(ax)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.set_ylim(-0.5, max(len(told), 1) - 0.25)
        ax.set_xlabel("policy, ms per step (median to 95th percentile)")
        legend(ax)
        return ax
