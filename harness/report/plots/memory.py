"""Success against what the policy remembers."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from calvinbench.harness.analysis.attributes import memory_in_words
from calvinbench.harness.analysis.comparable import are_of_tasks
from calvinbench.harness.analysis.statistics import Mean, average_length, bootstrap_generator
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.plots.style import aside, axes, legend, looks, marks

_WIDTH = 0.5
"""Over which marks of one setting are spread, in units of the distance to the next."""
_MOST_LEVEL_NAMES = 4
"""Settings whose names stand side by side; those of more are read upwards."""


def by_memory(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each label that is there with several memory settings; runs without a finished chain are left out.

    A head that remembers nothing has other parameters than one that does, and so another size in its label: a run
    without memory belongs to the label of its backbone, where there is one.
    """
    found: dict[str, list[Run]] = {}
    for run in runs:
        if run.records:
            found.setdefault(run.description.label, []).append(run)
    several = {label: same for label, same in found.items() if len({memory_in_words(run) for run in same}) > 1}
    for label in [label for label in found if label not in several]:
        alike = [other for other in several if _backbone(other) == _backbone(label)]
        forgetful = [run for run in found[label] if run.description.memory.span == "none"]
        if len(alike) == 1:
            several[alike[0]].extend(forgetful)
    return several


def _backbone(label: str) -> str:
    return label.partition(" (")[0]


def memory(runs: Sequence[Run], ax: Axes | None = None) -> Axes:
    """Average length (success of single tasks) of each policy by its memory setting, with 95% intervals.

    Returns the axes drawn into.

    Args:
        runs: Runs; drawn are the policies that are there with several settings, see `by_memory`.
        ax: Where to draw; None for a new figure.
    """
    found = _by_chunk_rule(by_memory(runs))
    settings = sorted({memory_in_words(run): run for same in found.values() for run in same}.items(), key=_order)
    places = {words: place for place, (words, _) in enumerate(settings)}
    stand = len(settings) > _MOST_LEVEL_NAMES
    with axes(ax, height_in=3.4 if stand else 2.4, names=tuple(found)) as ax:  # noqa: PLR1704
        for number, ((name, same), look) in enumerate(zip(found.items(), looks(len(found)), strict=True)):
            shift = aside(number, len(found), _WIDTH)
            means = [_mean(run) for run in same]
            marks(ax, [places[memory_in_words(run)] + shift for run in same], means, look, name)
        ax.set_xticks(list(places.values()), [words.replace(", reset at ", "\nreset: ") for words in places])
        ax.tick_params(axis="x", labelrotation=90 if stand else 0)
        ax.set_xlim(-0.5, max(len(places), 1) - 0.5)
        ax.set_xlabel("memory")
        ax.set_ylabel("success" if are_of_tasks(runs) else "average length")
        legend(ax)
        return ax


def _by_chunk_rule(found: dict[str, list[Run]]) -> dict[str, list[Run]]:
    """The runs of each label, apart where they have several rules of how chunks become actions."""
    parted: dict[str, list[Run]] = {}
    for label, same in found.items():
        has_several = len({run.description.chunk_rule for run in same}) > 1
        for run in same:
            name = f"{label}, chunk rule {run.description.chunk_rule}" if has_several else label
            parted.setdefault(name, []).append(run)
    return parted


def _order(setting: tuple[str, Run]) -> tuple[float, str]:
    """The shortest memory first."""
    words, run = setting
    span = run.description.memory.span
    lengths = {"none": 0.0, "unbounded": float("inf")}
    return (lengths[span] if span in lengths else float(span.partition(":")[2]), words)


def _mean(run: Run) -> Mean:
    return average_length(run.completed, bootstrap_generator(), chain_length=run.chain_length)
