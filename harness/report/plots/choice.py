"""Which methods a figure shows, in which order, and under which names and colours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from calvinbench.envs.names import require_name
from calvinbench.harness.analysis.comparable import are_of_tasks, require_one_length
from calvinbench.harness.analysis.methods import Method, Seeds, methods
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.plots.colors import Look, as_methods, looks

Labels = Mapping[str, str] | Sequence[str]
Colors = Mapping[str, str] | Sequence[str]
Order = Literal["success"] | Sequence[str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A method in a figure.

    Attributes:
        method: The method.
        name: Its name, with a mark if it is privileged.
        look: Its colour, marker and line.
    """

    method: Method
    name: str
    look: Look

    @property
    def has_chains(self) -> bool:
        """Whether there is a chain that all its runs have finished."""
        return bool(self.method.chains)


def choose(
    shown: Sequence[Run] | Sequence[Method],
    labels: Labels | None = None,
    colors: Colors | None = None,
    order: Order | None = None,
    seeds: Seeds = "mean",
) -> tuple[Shown, ...]:
    """The methods of a figure.

    Args:
        shown: Runs or methods.
        labels: New names by old ones, or a name for each method.
        colors: Colours by name, or one for each method in the order of drawing.
        order: Names to draw, in this order; the others are left out. `"success"`: the longest average length first.
            None: the order of `shown`.
        seeds: Whether training seeds of one recipe are one method.

    Raises:
        UnknownNameError: `labels` or `order` has a name that does not exist.
        ValueError: The number of names is not that of the methods, or chains have several lengths.
    """
    found = _named(shown, labels, seeds)
    require_one_length([run for method in found for run in method.runs])
    look_of = looks([method.name for method in found], colors if isinstance(colors, Mapping) else None)
    if order == "success":
        found = tuple(sorted(found, key=lambda method: -_mean_length(method)))
    elif order is not None:
        by_name = {name: method for method in found for name in (method.marked_name, method.name)}
        found = tuple(by_name[require_name(name, by_name, "method")] for name in order)
    if colors is not None and not isinstance(colors, Mapping):
        look_of = looks([method.name for method in found], colors)
    return tuple(Shown(method, method.marked_name, look_of[method.name]) for method in found)


def length_in_words(shown: Sequence[Shown]) -> str:
    """What the mean number of solved subtasks is called: `success` if tasks were run alone, else `average length`."""
    runs = [run for each in shown for run in each.method.runs]
    return "success" if runs and are_of_tasks(runs) else "average length"


def _named(shown: Sequence[Run] | Sequence[Method], labels: Labels | None, seeds: Seeds) -> tuple[Method, ...]:
    runs = [each for each in shown if isinstance(each, Run)]
    if runs and len(runs) == len(shown):
        found = methods(runs, labels if isinstance(labels, Mapping) else None, seeds)
    else:
        found = as_methods(shown)
        if isinstance(labels, Mapping):
            for old in labels:
                require_name(old, [method.name for method in found], "method")
            found = tuple(replace(method, name=labels.get(method.name, method.name)) for method in found)
    if labels is None or isinstance(labels, Mapping):
        return found
    if len(labels) != len(found):
        names = ", ".join(method.name for method in found)
        raise ValueError(f"expected {len(found)} labels, one for each method ({names}), got {len(labels)}.")
    return tuple(replace(method, name=name) for method, name in zip(found, labels, strict=True))


def _mean_length(method: Method) -> float:
    lengths = [run.completed.mean() for run in method.runs if run.records]
    return float(np.mean(lengths)) if lengths else -1.0
