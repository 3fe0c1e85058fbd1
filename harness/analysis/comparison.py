"""Methods on the same chains, compared: differences with intervals, and a verdict or the reason why there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int64

from calvinbench.envs.names import require_name
from calvinbench.harness.analysis.comparable import (
    MAX_ERRORED_SHARE,
    are_of_tasks,
    has_too_many_errors,
    require_comparable,
)
from calvinbench.harness.analysis.methods import Method, Seeds, methods
from calvinbench.harness.analysis.multiple_comparisons import CochransQ, cochrans_q, not_different_from_best
from calvinbench.harness.analysis.run_pairs import RunPair, run_pairs
from calvinbench.harness.analysis.statistics import Mean, bootstrap_generator
from calvinbench.harness.analysis.summaries import clusters
from calvinbench.harness.analysis.training_seeds import completed_by_seed, summarize_method
from calvinbench.harness.analysis.verdict import verdict, verdict_against
from calvinbench.harness.records.runs import Run

_MOST_PAIRS = 15
"""More pairs, those of six methods, are not readable in a figure or a table."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """At least two methods on the same chains.

    Attributes:
        methods: The methods.
        labels: Their names, with a mark for privileged policies.
        averages: Their average lengths over the chains that all have finished; means over training seeds.
        clustered: The same with intervals over initial states.
        num_chains: Number of those chains.
        reference: Label of the method that each other is compared with; None for all pairs.
        rivals: Labels of the methods among which the best is sought: without privileged policies, if two others are
            left. Cochran's Q and Holm's correction are about rivals alone.
        pairs: All pairs, or each method and the reference, which then is the second.
        cochrans_q: At least 1, 2, ... subtasks, whether any rivals differ; empty for two rivals, and if one has several
            training seeds.
        best: Labels of the best rival and of all that are not significantly different from it; empty if no verdict may
            be given, and with a reference.
        best_rates: The same at least 1, 2, ... subtasks; empty also where no chain came so far.
        refusals: Why no verdict may be given; empty if one may.
        verdict: One sentence.
    """

    methods: tuple[Method, ...]
    labels: tuple[str, ...]
    averages: tuple[float, ...]
    clustered: tuple[Mean, ...]
    num_chains: int
    reference: str | None
    rivals: tuple[str, ...]
    pairs: tuple[RunPair, ...]
    cochrans_q: tuple[CochransQ, ...]
    best: tuple[str, ...]
    best_rates: tuple[tuple[str, ...], ...]
    refusals: tuple[str, ...]
    verdict: str

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of all methods."""
        return tuple(run for method in self.methods for run in method.runs)

    @property
    def has_seeds(self) -> bool:
        """Whether a method has runs of several training seeds."""
        return any(method.has_seeds for method in self.methods)

    @property
    def shown_pairs(self) -> tuple[RunPair, ...]:
        """The pairs to show: all of them, or those with the best rival if there are more than six methods."""
        if len(self.pairs) <= _MOST_PAIRS or self.reference is not None:
            return self.pairs
        averages = dict(zip(self.labels, self.averages, strict=True))
        best = max(self.rivals, key=lambda label: averages[label])
        return tuple(pair for pair in self.pairs if best in pair.labels)

    def frame(self) -> pd.DataFrame:
        """One row a pair, for programs. Pairs with a method that is not a rival have no p-value by Holm."""
        return pd.DataFrame(
            [
                {"first": pair.first, "second": pair.second, "chains": self.num_chains}
                | {"difference": pair.difference.value}
                | {"low": pair.difference.interval.low, "high": pair.difference.interval.high}
                | {"clustered_low": pair.clustered.interval.low, "clustered_high": pair.clustered.interval.high}
                | {"p": pair.difference.p_value, "p_holm": pair.adjusted_p_value, "p_clustered": pair.clustered.p_value}
                | {f"difference_{k}": rates.difference for k, rates in enumerate(pair.rates, start=1)}
                | {f"low_{k}": rates.interval.low for k, rates in enumerate(pair.rates, start=1)}
                | {f"high_{k}": rates.interval.high for k, rates in enumerate(pair.rates, start=1)}
                | {f"p_mcnemar_{k}": rates.p_value for k, rates in enumerate(pair.rates, start=1)}
                | {f"p_clustered_{k}": p_value for k, p_value in enumerate(pair.clustered_rate_p_values, start=1)}
                | {f"p_holm_{k}": p_value for k, p_value in enumerate(pair.adjusted_rate_p_values, start=1)}
                | {"correlation": pair.correlation, "detectable": pair.detectable}
                for pair in self.pairs
            ]
        )


def compare(
    runs: Sequence[Run],
    any_renderer: bool = False,
    reference: str | None = None,
    labels: Mapping[str, str] | None = None,
    seeds: Seeds = "mean",
) -> Comparison:
    """Compares methods on the chains that all their runs have finished.

    A method with several training seeds is compared by its mean over seeds in each chain; intervals and p-values of its
    pairs cover training-seed variance (see `seed_differences`). Those of two single runs do not.

    Args:
        runs: Runs of at least two methods.
        any_renderer: Whether the renderers may differ.
        reference: The method that each other is compared with, as in an ablation: its name, its policy's spec, or the
            name of a run's folder. Fewer tests are made, so less is lost to Holm's correction. None: all pairs.
        labels: New names by old ones, see `methods`.
        seeds: Whether training seeds of one recipe are one method, or each is compared by itself.

    Raises:
        UnknownNameError: There is no such reference, or no such name in `labels`.
        ValueError: There are fewer than two methods, or no chain that all runs have finished.
        RunsDifferError: They are not of the same chains, steps, scene, physics, renderer and instruction set; the
            message shows where.
    """
    if len(runs) < 2:
        raise ValueError(f"expected at least two runs to compare, got {len(runs)}. Such as: calvinbench compare runs")
    require_comparable(runs, any_renderer)
    found = methods(runs, labels, seeds)
    if len(found) < 2:
        raise ValueError(
            f"expected at least two methods to compare, got {len(runs)} training seeds of '{found[0].name}' alone. "
            "Add --seeds each (seeds='each') to compare the seeds."
        )
    return compare_methods(found, reference)


def compare_methods(found: Sequence[Method], reference: str | None = None) -> Comparison:
    """As `compare`, for at least two methods of comparable runs."""
    runs = [run for method in found for run in method.runs]
    numbers = sorted(set.intersection(*(set(method.chains) for method in found)))
    if not numbers:
        raise ValueError("expected a chain that all the runs have finished, found none. Run the rest first.")
    completed = [completed_by_seed(method.runs, numbers) for method in found]
    names = tuple(method.marked_name for method in found)
    held_against = None if reference is None else _label_of(reference, found)
    rivals = _rivals(found, held_against)
    num_rates = runs[0].chain_length
    states = clusters(runs[0], numbers)
    generator = bootstrap_generator()
    pairs = run_pairs(completed, names, states, rivals, num_rates, generator, held_against)
    among = [pair for pair in pairs if pair.labels <= set(rivals)]
    of_rivals = {name: lengths for name, lengths in zip(names, completed, strict=True) if name in rivals}
    refusals = _refusals(found)
    best: tuple[str, ...] = ()
    best_rates: tuple[tuple[str, ...], ...] = ()
    words = f"No verdict: {'; '.join(refusals)}."
    quantity = "success" if are_of_tasks(runs) else "average length"
    has_others = len(rivals) < len(names)
    if not refusals and held_against is not None:
        words = verdict_against(held_against, among, quantity, has_others)
    elif not refusals:
        averages = {name: float(lengths.mean()) for name, lengths in of_rivals.items()}
        best = not_different_from_best(averages, {pair.labels for pair in among if pair.is_significant})
        best_rates = tuple(_best_at(k, of_rivals, among) for k in range(1, num_rates + 1))
        words = verdict(averages, among, best, quantity, has_others)
    return Comparison(
        tuple(found),
        names,
        tuple(float(lengths.mean()) for lengths in completed),
        tuple(summarize_method(method, chains=numbers).clustered for method in found),
        len(numbers),
        held_against,
        rivals,
        pairs,
        _cochrans_q(list(of_rivals.values()), num_rates),
        best,
        best_rates,
        refusals,
        words,
    )


def compare_if_possible(
    runs: Sequence[Run],
    any_renderer: bool = False,
    reference: str | None = None,
    labels: Mapping[str, str] | None = None,
    seeds: Seeds = "mean",
) -> Comparison | None:
    """As `compare`, or None if there are not two methods with a finished chain in common."""
    require_comparable(runs, any_renderer)
    return compare_methods_if_possible(methods(runs, labels, seeds), reference)


def compare_methods_if_possible(found: Sequence[Method], reference: str | None = None) -> Comparison | None:
    """As `compare_methods`, or None if there are not two methods with a finished chain in common."""
    shared = set.intersection(*(set(method.chains) for method in found))
    return compare_methods(found, reference) if len(found) > 1 and shared else None


def _cochrans_q(completed: Sequence[Int64[np.ndarray, "seeds chains"]], num_rates: int) -> tuple[CochransQ, ...]:
    """Of single runs; the test is not defined for means over seeds."""
    if len(completed) < 3 or any(len(values) > 1 for values in completed):
        return ()
    lengths = np.concatenate(completed)
    return tuple(cochrans_q(lengths >= k) for k in range(1, num_rates + 1))


def _label_of(reference: str, found: Sequence[Method]) -> str:
    """The label of the method that is meant by its name, its policy's spec or its folder's name.

    Raises:
        UnknownNameError: None is meant, or several are.
    """
    known: list[set[str]] = [
        {method.name, method.marked_name}
        | {name for run in method.runs for name in (run.description.policy, run.directory.name, run.description.name)}
        for method in found
    ]
    exact = [method for method in found if reference in (method.name, method.marked_name)]
    meant = exact or [method for method, names in zip(found, known, strict=True) if reference in names]
    if len(meant) == 1:
        return meant[0].marked_name
    names = [method.name for method in found]
    return require_name(reference, names, "reference, which is a method's name, policy or folder:")


def _rivals(found: Sequence[Method], reference: str | None) -> tuple[str, ...]:
    """Labels of the methods among which the best is sought; with a reference, its own and of those compared with it."""
    names = [method.marked_name for method in found]
    fair = tuple(
        name for name, method in zip(names, found, strict=True) if not method.is_privileged or name == reference
    )
    return fair if len(fair) > 1 else tuple(names)


def _best_at(
    num_subtasks: int, completed: Mapping[str, Int64[np.ndarray, "seeds chains"]], pairs: Sequence[RunPair]
) -> tuple[str, ...]:
    """Labels of the best at so many subtasks, and of those that are not significantly different from it."""
    rates = {name: float((lengths >= num_subtasks).mean()) for name, lengths in completed.items()}
    different = {pair.labels for pair in pairs if pair.is_significant_at(num_subtasks)}
    return not_different_from_best(rates, different) if max(rates.values()) > 0 else ()


def _refusals(found: Sequence[Method]) -> tuple[str, ...]:
    reasons = []
    for method in found:
        for run in method.runs:
            seed = f", training seed {run.description.training_seed}," if method.has_seeds else ""
            name = f"{method.marked_name}{seed}"
            if run.num_missing:
                reasons.append(f"{name} has finished {len(run.records)} of {run.description.chains} chains")
            if has_too_many_errors(run):
                reasons.append(
                    f"{run.num_errored} of {len(run.records)} chains of {name.removesuffix(',')} errored, more than "
                    f"{100 * MAX_ERRORED_SHARE:g}%"
                )
    return tuple(reasons)
