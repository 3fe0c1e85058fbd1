"""Success rate against subtasks completed in a row."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from calvinbench.envs.chains import CHAIN_LENGTH
from calvinbench.harness.analysis.methods import Method, Seeds
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.plots.choice import Colors, Labels, Order, Shown, choose
from calvinbench.harness.report.plots.drawing.curves import Curve, Legend, draw_curves
from calvinbench.harness.report.plots.estimates import length_of, survival_of
from calvinbench.harness.report.plots.style import WIDTH_IN


def survival(
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
) -> Axes | np.ndarray:
    """Percentage of chains with at least 1, 2, ... subtasks in a row, with 95% intervals.

    The band of a single run covers the whole curve at once. Training seeds of one recipe are drawn as their mean, with
    an interval over seeds and chains at each number of subtasks. More than six methods have a panel each, with the
    others in grey and the average length in the corner.

    Args:
        runs: Runs or methods, with chains of one length. Those without a finished chain are left out.
        labels: New names by old ones, or a name for each method.
        colors: Colours by name, or one for each method, see `method_colors`.
        order: Names to draw, in this order, or `"success"`.
        seeds: `"mean"` or `"each"`.
        width: Width of a new figure in inches.
        figsize: Width and height of a new figure in inches, in place of `width`.
        legend: `"direct"` for names beside the curves, True for a legend, False for none.
        ax: Axes to draw all curves into; None for a new figure.

    Returns:
        The axes; with panels, an array of them.
    """
    shown = choose(runs, labels, colors, order, seeds)
    num_places = shown[0].method.runs[0].chain_length if shown else CHAIN_LENGTH
    curves = [_curve(each) for each in shown if each.has_chains]
    return draw_curves(curves, num_places, ("subtasks completed in a row", "chains (%)"), ax, width, figsize, legend)


def _curve(shown: Shown) -> Curve:
    found = survival_of(shown.method)
    note = f"{length_of(shown.method).value:.2f}"
    return Curve(shown.name, shown.look, 100 * found.rates, 100 * found.low, 100 * found.high, note)
