"""Success at each position of a chain, of the chains that reached it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from calvinbench.envs.chains import CHAIN_LENGTH
from calvinbench.harness.analysis.methods import Method, Seeds
from calvinbench.harness.analysis.statistics import Intervals
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.plots.choice import Colors, Labels, Order, Shown, choose
from calvinbench.harness.report.plots.drawing.curves import Curve, Legend, draw_curves
from calvinbench.harness.report.plots.estimates import conditional_of
from calvinbench.harness.report.plots.style import WIDTH_IN

FEW = 10
"""A rate of fewer tries than this is drawn with an outlined mark."""


def conditional(
    runs: Sequence[Run] | Sequence[Method],
    *,
    intervals: Intervals = "wilson",
    labels: Labels | None = None,
    colors: Colors | None = None,
    order: Order | None = None,
    seeds: Seeds = "mean",
    width: float = WIDTH_IN,
    figsize: tuple[float, float] | None = None,
    legend: Legend = "direct",
    ax: Axes | None = None,
) -> Axes | np.ndarray:
    """Success at subtask k of the chains that solved the k-1 before, in percent, with a 95% interval at each k.

    It shows whether a policy fails more often later in a chain, which a survival curve hides. Outlined marks are rates
    of fewer than 10 chains. A position that no chain reached has no mark.

    Args:
        runs: Runs or methods, with chains of one length. Those without a finished chain are left out.
        intervals: Of the rates of single runs.
        labels: New names by old ones, or a name for each method.
        colors: Colours by name, or one for each method, see `method_colors`.
        order: Names to draw, in this order, or `"success"`.
        seeds: `"mean"`: chains of training seeds of one recipe are counted together. `"each"`: apart.
        width: Width of a new figure in inches.
        figsize: Width and height of a new figure in inches, in place of `width`.
        legend: `"direct"` for names beside the curves, True for a legend, False for none.
        ax: Axes to draw all curves into; None for a new figure.

    Returns:
        The axes; an array of them for more than six methods, which have a panel each.
    """
    shown = choose(runs, labels, colors, order, seeds)
    num_places = shown[0].method.runs[0].chain_length if shown else CHAIN_LENGTH
    curves = [_curve(each, intervals) for each in shown if each.has_chains]
    words = ("position in the chain", "solved (% of reached)")
    return draw_curves(curves, num_places, words, ax, width, figsize, legend, most_filled=1)


def _curve(shown: Shown, intervals: Intervals) -> Curve:
    found = conditional_of(shown.method, intervals)
    reached = np.array([each.num_trials > 0 for each in found])
    values, low, high = (
        np.where(reached, 100 * np.array(numbers), np.nan)
        for numbers in (
            [each.rate for each in found],
            [each.interval.low for each in found],
            [each.interval.high for each in found],
        )
    )
    few = tuple(0 < each.num_trials < FEW for each in found)
    return Curve(shown.name, shown.look, values, low, high, is_weak=few)
