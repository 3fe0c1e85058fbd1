"""Success against what the policy remembers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from calvinbench.harness.analysis.methods import Method, Seeds
from calvinbench.harness.records.policy_name import policy_name
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.plots.canvas import canvas
from calvinbench.harness.report.plots.choice import Colors, Labels, Order, Shown, choose, length_in_words
from calvinbench.harness.report.plots.curves import Legend
from calvinbench.harness.report.plots.direct_labels import LabelledPoint, column_height_in, label_at_right
from calvinbench.harness.report.plots.estimates import length_of
from calvinbench.harness.report.plots.style import WIDTH_IN, style

_NONE, _UNBOUNDED = "none", "unbounded"
_LINES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", "--", ":", "-.", (0, (8, 2)), (0, (1, 3)))
_LINE_COLOR = "0.4"
_SPREAD = 0.3


@dataclass(frozen=True, slots=True)
class _Setting:
    """What methods of one line have in common, besides the backbone's name."""

    base: str
    reset: str
    chunk_rule: str

    @classmethod
    def of(cls, run: Run) -> "_Setting":
        said = run.description
        return cls(policy_name(said).base, "" if said.memory.span == _NONE else said.memory.reset, said.chunk_rule)


def by_memory(runs: Sequence[Run] | Sequence[Method], seeds: Seeds = "mean") -> dict[str, list[Method]]:
    """The methods by policy, memory reset and chunk rule, where these were run with several lengths of memory.

    A policy without memory has no reset; it belongs to the first line of its policy and chunk rule. Methods without a
    finished chain are left out.

    Args:
        runs: Runs or methods.
        seeds: Whether training seeds of one recipe are one method.
    """
    lines = _lines(choose(runs, seeds=seeds))
    return {name: [each.method for each in line] for name, line in lines.items()}


def _lines(shown: Sequence[Shown]) -> dict[str, list[Shown]]:
    found: dict[_Setting, list[Shown]] = {}
    forgetful: list[Shown] = []
    for each in (each for each in shown if each.has_chains):
        setting = _Setting.of(each.method.runs[0])
        (found.setdefault(setting, []) if setting.reset else forgetful).append(each)
    for each in forgetful:
        own = _Setting.of(each.method.runs[0])
        alike = [line for key, line in found.items() if (key.base, key.chunk_rule) == (own.base, own.chunk_rule)]
        if alike:
            alike[0].append(each)
    several = {key: line for key, line in found.items() if len({_span(each) for each in line}) > 1}
    parts = [(key.base, f"reset at {key.reset}", f"chunk rule {key.chunk_rule}") for key in several]
    differing = [place for place in range(3) if len({part[place] for part in parts}) > 1] or [0]
    names = [", ".join(part[place] for place in differing) for part in parts]
    return {name: sorted(line, key=_length_of_memory) for name, line in zip(names, several.values(), strict=True)}


def _span(shown: Shown) -> str:
    """The length of the memory, as below its place on the axis."""
    return shown.method.runs[0].description.memory.span.removeprefix("window:")


def _length_of_memory(shown: Shown) -> float:
    lengths = {_NONE: 0.0, _UNBOUNDED: float("inf")}
    span = _span(shown)
    return lengths[span] if span in lengths else float(span)


def memory(
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
    """Average length (success of single tasks) by the length of the memory, with 95% intervals.

    A line joins the methods that differ in the length of the memory only. Marks have the colours of their methods.

    Args:
        runs: Runs or methods; drawn are those that were run with several lengths of memory, see `by_memory`.
        labels: New names of methods by old ones, or one for each. They matter for `colors` and `order`.
        colors: Colours by name, or one for each method, see `method_colors`.
        order: Names of the methods to draw.
        seeds: `"mean"`: training seeds of one recipe are one method. `"each"`: each is a method.
        width: Width of a new figure in inches.
        figsize: Width and height of a new figure in inches, in place of `width`.
        legend: `"direct"` for names beside the lines, True for a legend, False for none.
        ax: Axes to draw into; None for a new figure.
    """
    shown = choose(runs, labels, colors, order, seeds)
    lines = _lines(shown)
    every = sorted((each for line in lines.values() for each in line), key=_length_of_memory)
    spans = list(dict.fromkeys(_span(each) for each in every))
    with style():
        labels_in = column_height_in(list(lines), width) if legend == "direct" else 0.0
    with canvas(ax, figsize or (width, max(2.2 if width < 5 else 2.8, labels_in + 0.4))) as ax:  # noqa: PLR1704
        ends = []
        for number, (name, line) in enumerate(lines.items()):
            shift = _SPREAD * ((number + 0.5) / len(lines) - 0.5)
            means = [length_of(each.method) for each in line]
            places = [spans.index(_span(each)) + shift for each in line]
            style_of_line = _LINES[number % len(_LINES)]
            values = [mean.value for mean in means]
            ax.plot(places, values, color=_LINE_COLOR, linestyle=style_of_line, linewidth=0.8, label=name, zorder=1)
            for each, place, mean in zip(line, places, means, strict=True):
                reach = np.array([[mean.value - mean.interval.low], [mean.interval.high - mean.value]])
                ax.errorbar(
                    *([place], [mean.value], np.clip(reach, 0, None)),
                    fmt=each.look.marker,
                    color=each.look.color,
                    markerfacecolor=each.look.face,
                    elinewidth=0.8,
                )
            ends.append(LabelledPoint(name, places[-1], values[-1], "0.15"))
        ax.set_xticks(range(len(spans)), spans)
        ax.set_xlim(-0.4, max(len(spans), 1) - 0.6)
        ax.set_xlabel("memory (steps)")
        ax.set_ylabel(length_in_words(shown))
        if legend is True:
            ax.legend(loc="best")
        elif legend == "direct" and len(lines) > 1:
            label_at_right(ax, ends, width if figsize is None else figsize[0])
        return ax
