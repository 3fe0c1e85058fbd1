"""Success of each task: methods by tasks, grouped by kind."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from calvinbench.harness.analysis.methods import Method, Seeds
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.plots.choice import Colors, Labels, Order, choose
from calvinbench.harness.report.plots.drawing.heat_map import Group, draw_heat_map
from calvinbench.harness.report.plots.estimates import Tries, tasks_of
from calvinbench.harness.report.plots.style import WIDTH_IN
from calvinbench.harness.report.plots.task_kinds import by_kind, short_task

FEW = 10
"""A rate of fewer tries than this is in italics."""


def tasks(
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
    """A heat map of tasks by methods: percent solved of the times that a task was reached.

    At the right is n, how often each task was reached: the least and the most where methods differ. Where there is no
    room at the right, only the range below the map remains. Rates of fewer than 10 tries are in italics. A point marks
    a task that was never reached.

    Args:
        runs: Runs or methods. Those without a finished chain are left out.
        labels: New names by old ones, or a name for each method.
        colors: Colours of the names, by name or one for each method, see `method_colors`.
        order: Names to draw, in this order, or `"success"`.
        seeds: `"mean"`: tries of training seeds of one recipe are counted together. `"each"`: apart.
        width: Width of a new figure in inches.
        figsize: Width and height of a new figure in inches, in place of `width`.
        legend: Whether n and the meaning of the numbers are written.
        ax: Axes to draw into; None for a new figure.
    """
    shown = [each for each in choose(runs, labels, colors, order, seeds) if each.has_chains]
    found = [tasks_of(each.method) for each in shown]
    kinds = by_kind({task for success in found for task in success})
    groups = [
        Group(
            kind,
            tuple(short_task(task) for task in names),
            np.array([[_rate(success.get(task)) for success in found] for task in names]),
            tuple(tuple(_text(success.get(task)) for success in found) for task in names),
            tuple(_range([success[task].num_trials for success in found if task in success]) for task in names)
            if legend
            else (),
            tuple(tuple(task in success and success[task].num_trials < FEW for success in found) for task in names),
        )
        for kind, names in kinds.items()
    ]
    counts = [share.num_trials for success in found for share in success.values()]
    few = f"; italics: n < {FEW}" if counts and min(counts) < FEW else ""
    below = f"solved, % of the times reached (n = {_range(counts)}{few})" if counts and legend else ""
    return draw_heat_map(
        groups,
        [each.name for each in shown],
        [each.look.color for each in shown],
        "n",
        below,
        ax,
        width,
        figsize,
    )


def _rate(share: Tries | None) -> float:
    return float("nan") if share is None else share.rate


def _text(share: Tries | None) -> str:
    return "" if share is None else f"{100 * share.rate:.0f}"


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low}\N{EN DASH}{high}"
