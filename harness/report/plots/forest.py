"""Differences between runs on the same chains, with their intervals."""

from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes

from calvinbench.harness.analysis.comparable import are_of_tasks
from calvinbench.harness.analysis.comparison import Comparison
from calvinbench.harness.analysis.run_pairs import RunPair
from calvinbench.harness.report.plots.style import NAME_LENGTH, axes


def forest(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Paired differences of average length, or of success where tasks are run alone, with 95% intervals.

    Each two runs are a row; of many, only those with the best (`Comparison.shown_pairs`). Returns the axes drawn into.

    A filled mark is a difference that holds: among all pairs (Holm, 5%), and where chains of one initial state are
    drawn together. A hollow one is not told from 0.

    Args:
        comparison: Of at least two runs.
        ax: Where to draw; None for a new figure, as high as the pairs need.
    """
    pairs = comparison.shown_pairs
    names = ["\n".join(_lines(pair, comparison.reference)) for pair in pairs]
    most_lines = max(name.count("\n") + 1 for name in names)
    with axes(ax, height_in=0.6 + (0.2 + 0.15 * most_lines) * len(pairs)) as ax:  # noqa: PLR1704
        for height, pair in enumerate(reversed(pairs)):
            interval = pair.difference.interval
            reach = np.array([[pair.difference.value - interval.low], [interval.high - pair.difference.value]])
            ax.errorbar(
                [pair.difference.value],
                [height],
                xerr=np.clip(reach, 0, None),
                fmt="o",
                color="black",
                markerfacecolor="black" if pair.is_told_apart else "white",
                markersize=4,
                elinewidth=1.0,
                capsize=2,
            )
        ax.axvline(0, color="0.5", linewidth=0.8, linestyle=":")
        for height, name in enumerate(reversed(names)):  # above its mark, for names are long and columns narrow
            said = ax.text(0.0, height + 0.18, name, transform=ax.get_yaxis_transform(), va="bottom", ha="left")
            said.set_in_layout(False)  # a long name must not make the axes narrow
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.set_ylim(-0.5, len(pairs) - 0.1)
        quantity = f"difference in {'success' if are_of_tasks(comparison.runs) else 'average length'}"
        ax.set_xlabel("\n".join([quantity, *wrap(_from(comparison.reference), NAME_LENGTH)]))
        return ax


def _lines(pair: RunPair, reference: str | None) -> list[str]:
    second = [] if pair.second == reference else wrap(f"minus {pair.second}", NAME_LENGTH)
    return [*wrap(pair.first, NAME_LENGTH), *second]


def _from(reference: str | None) -> str:
    return "" if reference is None else f"from {reference}"
