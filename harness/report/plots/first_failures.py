"""Where chains end: by task and position for one method, by task for several."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from calvinbench.envs.chain_env import SOLVED
from calvinbench.harness.analysis.methods import Method, Seeds
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.plots.choice import Colors, Labels, Order, Shown, choose
from calvinbench.harness.report.plots.drawing.heat_map import Group, draw_heat_map
from calvinbench.harness.report.plots.estimates import together
from calvinbench.harness.report.plots.style import WIDTH_IN
from calvinbench.harness.report.plots.task_kinds import by_kind, short_task

_BLACK = "black"


def first_failures(
    runs: Run | Method | Sequence[Run] | Sequence[Method],
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
    """Which tasks ended chains. A chain ends with its first failure, so that each unsolved chain counts once.

    One method: number of chains by task and position. Several: percent of each method's chains, by position and by
    task.

    Args:
        runs: A run or method, or several.
        labels: New names by old ones, or a name for each method.
        colors: Colours of the names, by name or one for each method, see `method_colors`.
        order: Names to draw, in this order, or `"success"`.
        seeds: `"mean"`: chains of training seeds of one recipe are counted together. `"each"`: apart.
        width: Width of a new figure in inches.
        figsize: Width and height of a new figure in inches, in place of `width`.
        legend: Whether the meaning of the numbers is written below.
        ax: Axes to draw into; None for a new figure.
    """
    given = [runs] if isinstance(runs, Run | Method) else list(runs)
    shown = choose(given, labels, colors, order, seeds)  # type: ignore[arg-type]
    counts = [_failures(each) for each in shown]
    if len(shown) == 1:
        return _of_one(shown[0], counts[0], legend, ax, width, figsize)
    kept = [(each, found) for each, found in zip(shown, counts, strict=True) if each.has_chains]
    totals = [len(together(each.method).records) for each, _ in kept]
    length = shown[0].method.runs[0].chain_length if shown else 0
    places = [
        [sum(count for (_, at), count in found.items() if at == place) for _, found in kept]
        for place in range(1, length + 1)
    ]
    solved = [total - sum(found.values()) for total, (_, found) in zip(totals, kept, strict=True)]
    kinds = by_kind({task for _, found in kept for task, _ in found})
    most = max(
        (
            sum(found[key] for key in found if key[0] == task) / total
            for total, (_, found) in zip(totals, kept, strict=True)
            for task, _ in found
        ),
        default=1.0,
    )
    groups = [
        _shares("Ended at subtask", [*map(str, range(1, length + 1)), "none: solved"], [*places, solved], totals, 1.0)
    ]
    groups += [
        _shares(
            kind,
            [short_task(task) for task in names],
            [[sum(found[task, place] for place in range(1, length + 1)) for _, found in kept] for task in names],
            totals,
            most,
        )
        for kind, names in kinds.items()
    ]
    num_chains = f"{min(totals)}" if len(set(totals)) == 1 else f"{min(totals)}\N{EN DASH}{max(totals)}"
    below = f"% of the method's chains that ended there (n = {num_chains})" if legend else ""
    names, looks = [each.name for each, _ in kept], [each.look.color for each, _ in kept]
    return draw_heat_map(groups if kept else [], names, looks, "", below, ax, width, figsize)


def _failures(shown: Shown) -> Counter[tuple[str, int]]:
    """Number of chains that ended at each task and position."""
    records = together(shown.method).records
    return Counter((record.subtasks[-1].task, len(record.subtasks)) for record in records if record.outcome != SOLVED)


def _of_one(
    shown: Shown,
    counts: Counter[tuple[str, int]],
    legend: bool,
    ax: Axes | None,
    width: float,
    figsize: tuple[float, float] | None,
) -> Axes:
    places = range(1, shown.method.runs[0].chain_length + 1)
    most = max(counts.values(), default=1)
    groups = [
        Group(
            kind,
            tuple(short_task(task) for task in names),
            np.array([[counts[task, place] / most or np.nan for place in places] for task in names]),
            tuple(tuple(str(counts[task, place] or "") for place in places) for task in names),
            tuple(str(sum(counts[task, place] for place in places)) for task in names),
        )
        for kind, names in by_kind({task for task, _ in counts}).items()
    ]
    num_chains = len(together(shown.method).records)
    below = f"{shown.name}: position at which {sum(counts.values())} of {num_chains} chains ended" if legend else ""
    columns = [str(place) for place in places]
    return draw_heat_map(groups, columns, [_BLACK] * len(columns), "all", below, ax, width, figsize)


def _shares(
    heading: str, names: Sequence[str], counts: Sequence[Sequence[int]], totals: Sequence[int], most: float
) -> Group:
    shares = np.array(counts, dtype=np.float64) / np.array(totals, dtype=np.float64)
    texts = tuple(
        tuple(f"{100 * share:.0f}" if count else "" for share, count in zip(row, row_counts, strict=True))
        for row, row_counts in zip(shares, counts, strict=True)
    )
    return Group(heading, tuple(names), np.where(shares > 0, shares / most, np.nan), texts)
