"""Success against the time of a step."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from calvinbench.harness.analysis.methods import Method, Seeds
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.plots.canvas import canvas
from calvinbench.harness.report.plots.choice import Colors, Labels, Order, choose, length_in_words
from calvinbench.harness.report.plots.curves import Legend
from calvinbench.harness.report.plots.direct_labels import LabelledPoint, column_height_in
from calvinbench.harness.report.plots.estimates import length_of, speed_of
from calvinbench.harness.report.plots.log_axis import logarithmic
from calvinbench.harness.report.plots.point_labels import label_points
from calvinbench.harness.report.plots.style import WIDTH_IN, style


def tradeoff(
    runs: Sequence[Run] | Sequence[Method],
    *,
    labels: Labels | None = None,
    colors: Colors | None = None,
    order: Order | None = None,
    seeds: Seeds = "mean",
    width: float = WIDTH_IN,
    figsize: tuple[float, float] | None = None,
    legend: Legend = "direct",
    ax: Axes | None = None,
) -> Axes:
    """Average length, with 95% intervals, against the policy's median milliseconds per step.

    Args:
        runs: Runs or methods. Those without a finished chain, or without times in their records, are left out.
        labels: New names by old ones, or a name for each method.
        colors: Colours by name, or one for each method, see `method_colors`.
        order: Names to draw, or `"success"`.
        seeds: `"mean"`: training seeds of one recipe are one point, with an interval over seeds and chains.
            `"each"`: a point each.
        width: Width of a new figure in inches.
        figsize: Width and height of a new figure in inches, in place of `width`.
        legend: `"direct"` for names beside the points, True for a legend, False for none.
        ax: Axes to draw into; None for a new figure.
    """
    shown = [each for each in choose(runs, labels, colors, order, seeds) if each.has_chains]
    found = [(each, length_of(each.method), speed_of(each.method).policy_ms) for each in shown]
    known = [(each, mean, took) for each, mean, took in found if not np.isnan(took)]
    with style():
        labels_in = column_height_in([each.name for each, _, _ in known], width)
    height = max(2.2 if width < 5 else 2.8, labels_in + 0.4)
    with canvas(ax, figsize or (width, height)) as ax:  # noqa: PLR1704
        for each, mean, took in known:
            reach = np.array([[mean.value - mean.interval.low], [mean.interval.high - mean.value]])
            ax.errorbar(
                [took],
                [mean.value],
                yerr=np.clip(reach, 0, None),
                fmt=each.look.marker,
                color=each.look.color,
                markerfacecolor=each.look.face,
                elinewidth=0.8,
                label=each.name,
            )
        ax.margins(x=0.12)
        logarithmic(ax)
        ax.set_xlabel("policy, ms per step (median)")
        ax.set_ylabel(length_in_words(shown))
        if legend is True:
            ax.legend(loc="best")
        elif legend == "direct":
            points = [LabelledPoint(each.name, took, mean.value, each.look.color) for each, mean, took in known]
            ends = [(took, mean.interval.low, mean.interval.high) for _, mean, took in known]
            label_points(ax, points, ends, width if figsize is None else figsize[0])
        return ax
