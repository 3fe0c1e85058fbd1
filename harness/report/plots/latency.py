"""How long policies take for an action."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from calvinbench.harness.analysis.methods import Method, Seeds
from calvinbench.harness.analysis.speed import FRAME_MS
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.plots.choice import Colors, Labels, Order, choose
from calvinbench.harness.report.plots.drawing.log_axis import logarithmic
from calvinbench.harness.report.plots.drawing.rows import row_axes
from calvinbench.harness.report.plots.estimates import speed_of
from calvinbench.harness.report.plots.style import WIDTH_IN, small_pt


def latency(
    runs: Sequence[Run] | Sequence[Method],
    *,
    labels: Labels | None = None,
    colors: Colors | None = None,
    order: Order | None = None,
    seeds: Seeds = "mean",
    width: float = WIDTH_IN,
    figsize: tuple[float, float] | None = None,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Milliseconds of the policy per step: a mark at the median, a line to the 95th percentile.

    The dashed line is what 30 actions a second leave, 33 ms. Runs without times in their records are left out.

    Args:
        runs: Runs or methods.
        labels: New names by old ones, or a name for each method.
        colors: Colours by name, or one for each method, see `method_colors`.
        order: Names to draw, from the top, or `"success"`.
        seeds: `"mean"`: steps of training seeds of one recipe are taken together. `"each"`: apart.
        width: Width of a new figure in inches.
        figsize: Width and height of a new figure in inches, in place of `width`.
        legend: Whether the numbers are written at the right.
        ax: Axes to draw into; None for a new figure.
    """
    found = [(each, speed_of(each.method)) for each in choose(runs, labels, colors, order, seeds)]
    known = [(each, speed) for each, speed in found if not np.isnan(speed.policy_ms)]
    numbers = [f"{speed.policy_ms:.3g} ({speed.policy_ms_p95:.3g})" if legend else "" for _, speed in known]
    with row_axes(
        [each.name for each, _ in known],
        numbers,
        ("", "ms (95%)" if legend and known else ""),
        [each.look.color for each, _ in known],
        "policy, ms per step: median to 95th percentile",
        ax,
        width,
        figsize,
    ) as (ax, heights):  # noqa: PLR1704
        for height, (each, speed) in zip(heights, known, strict=True):
            look = each.look
            ax.plot([speed.policy_ms, speed.policy_ms_p95], [height, height], color=look.color, linewidth=1.2)
            ax.plot([speed.policy_ms], [height], look.marker, color=look.color, markerfacecolor=look.face)
        ax.axvline(FRAME_MS, color="0.55", linewidth=0.8, linestyle="--", zorder=0)
        logarithmic(ax)
        ax.annotate(
            *("30 Hz", (FRAME_MS, 1.0)),
            xycoords=ax.get_xaxis_transform(),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=small_pt(),
            color="0.35",
        )
        return ax
