"""Paired differences between methods on the same chains, as a forest plot."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from calvinbench.harness.analysis.comparable import are_of_tasks
from calvinbench.harness.analysis.comparison import Comparison
from calvinbench.harness.analysis.methods import PRIVILEGED_MARK
from calvinbench.harness.analysis.run_pairs import RunPair
from calvinbench.harness.report.plots.choice import Colors, Labels, Order
from calvinbench.harness.report.plots.colors import looks
from calvinbench.harness.report.plots.drawing.rows import row_axes
from calvinbench.harness.report.plots.style import WIDTH_IN

_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class _Row:
    """A difference, `first` minus `second`."""

    first: str
    second: str
    value: float
    low: float
    high: float
    is_significant: bool

    @property
    def text(self) -> str:
        return f"{_signed(self.value)} [{_signed(self.low)}, {_signed(self.high)}]"


def forest(
    comparison: Comparison,
    *,
    labels: Labels | None = None,
    colors: Colors | None = None,
    order: Order | None = None,
    width: float = WIDTH_IN,
    figsize: tuple[float, float] | None = None,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Paired differences of average length, or of success where tasks are run alone, with 95% intervals.

    Of two or three methods each pair is a row, the better minus the other. Of more, each method is held against the
    best, or all against the reference of the comparison: rows are `method minus best`. So all rows have one direction.
    A filled mark is a significant difference: among all pairs (Holm, 5%), and also if chains of one initial state are
    drawn together.

    Args:
        comparison: Of at least two methods.
        labels: New names by old ones, or a name for each method of the comparison.
        colors: Colours of the marks, by name or one for each method, see `method_colors`.
        order: Names of the rows' methods, from the top; others are left out. `"success"` or None: the largest
            difference at the top.
        width: Width of a new figure in inches.
        figsize: Width and height of a new figure in inches, in place of `width`.
        legend: Whether the estimates and intervals are written at the right.
        ax: Axes to draw into; None for a new figure.
    """
    names = _names(comparison, labels)
    anchor = _anchor(comparison)
    rows = [_row(pair, comparison, anchor, names) for pair in _pairs(comparison, anchor)]
    rows.sort(key=lambda row: -row.value)
    if order is not None and order != "success":
        rows = [row for name in order for row in rows if row.first == name]
    own = {name: name.removesuffix(f" {PRIVILEGED_MARK}") for name in names.values()}
    look_of = looks(list(own.values()), colors)
    tints = [look_of[own[row.first]] for row in rows]
    quantity = "success" if are_of_tasks(comparison.runs) else "average length"
    words = [row.first if anchor else f"{row.first} {_MINUS} {row.second}" for row in rows]
    xlabel = f"{quantity} minus that of {names[anchor]}" if anchor else f"difference in {quantity}"
    numbers = [row.text if legend else "" for row in rows]
    with row_axes(
        words,
        numbers,
        ("", "[95% interval]" if legend else ""),
        [tint.color for tint in tints] if anchor else ["black"] * len(rows),
        xlabel,
        ax,
        width,
        figsize,
    ) as (ax, heights):  # noqa: PLR1704
        ax.axvline(0, color="0.55", linewidth=0.8, zorder=0)
        for height, row, tint in zip(heights, rows, tints, strict=True):
            reach = np.array([[row.value - row.low], [row.high - row.value]])
            color = tint.color if anchor else "black"
            ax.errorbar(
                [row.value],
                [height],
                xerr=np.clip(reach, 0, None),
                fmt="s" if row.is_significant else "o",
                color=color,
                markerfacecolor=color if row.is_significant else "white",
                elinewidth=1.0,
            )
        ax.margins(x=0.06)
        return ax


def _names(comparison: Comparison, labels: Labels | None) -> dict[str, str]:
    """The drawn name of each label of the comparison."""
    if labels is None:
        return {label: label for label in comparison.labels}
    if isinstance(labels, Mapping):
        return {
            label: labels.get(label, labels.get(label.removesuffix(f" {PRIVILEGED_MARK}"), label))
            for label in comparison.labels
        }
    return dict(zip(comparison.labels, labels, strict=True))


_MOST_ALL_PAIRS = 3


def _anchor(comparison: Comparison) -> str | None:
    """What all others are held against; None where each pair is shown."""
    if comparison.reference is not None:
        return comparison.reference
    if len(comparison.labels) <= _MOST_ALL_PAIRS:
        return None
    averages = dict(zip(comparison.labels, comparison.averages, strict=True))
    return max(comparison.rivals, key=lambda label: averages[label])


def _pairs(comparison: Comparison, anchor: str | None) -> list[RunPair]:
    return [pair for pair in comparison.pairs if anchor is None or anchor in pair.labels]


def _row(pair: RunPair, comparison: Comparison, anchor: str | None, names: dict[str, str]) -> _Row:
    """The pair in the figure's direction: minus the anchor, or the better minus the other."""
    value, interval = pair.difference.value, pair.difference.interval
    is_turned = pair.first == anchor if anchor else value < 0
    if is_turned:
        return _Row(
            *(names[pair.second], names[pair.first], -value, -interval.high, -interval.low, pair.is_significant)
        )
    return _Row(*(names[pair.first], names[pair.second], value, interval.low, interval.high, pair.is_significant))


def _signed(value: float) -> str:
    text = f"{abs(value):.2f}"
    if float(text) == 0:
        return text
    return f"{_MINUS if value < 0 else '+'}{text}"
