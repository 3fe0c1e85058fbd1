"""Runs on the same chains, compared: numbers with intervals, and a verdict in words or the reason why there is none."""

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
from calvinbench.harness.analysis.labels import labels
from calvinbench.harness.analysis.multiple_comparisons import CochransQ, cochrans_q, not_told_from_best
from calvinbench.harness.analysis.run_pairs import RunPair, run_pairs
from calvinbench.harness.analysis.statistics import Mean, bootstrap_generator
from calvinbench.harness.analysis.summaries import clusters, summarize
from calvinbench.harness.analysis.verdict import verdict, verdict_against
from calvinbench.harness.records.runs import Run

_MOST_PAIRS = 15
"""More do not stand in a figure or a table that is to be read: those of six runs."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs or more on the same chains.

    Attributes:
        runs: The runs.
        labels: What they are called.
        averages: Their average lengths over the chains that all have finished.
        clustered: The same with intervals over initial states.
        num_chains: How many those are.
        reference: Label of the run that each other is held against; None where each two are.
        rivals: Labels of those among which the best is sought: privileged policies stand aside where there are two
            others. Whether any differ, and Holm's correction, are of rivals alone.
        pairs: Each two runs, or each and the reference, which then is the second.
        cochrans_q: At least 1, 2, ... subtasks, whether any rivals differ; empty for two rivals.
        best: Labels of the best rival and of all that are not told from it; empty where no verdict may be given, and
            with a reference, against which alone runs are tested.
        best_rates: The same at least 1, 2, ... subtasks; empty also where no chain came so far.
        refusals: Why no verdict may be given; empty where one may.
        verdict: One sentence.
    """

    runs: tuple[Run, ...]
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
    def shown_pairs(self) -> tuple[RunPair, ...]:
        """What there is room for: all pairs, or of more than those of six runs the ones with the best rival."""
        if len(self.pairs) <= _MOST_PAIRS or self.reference is not None:
            return self.pairs
        averages = dict(zip(self.labels, self.averages, strict=True))
        best = max(self.rivals, key=lambda label: averages[label])
        return tuple(pair for pair in self.pairs if best in pair.labels)

    def frame(self) -> pd.DataFrame:
        """One row a pair, for programs; Tango's intervals at each number of subtasks, no Holm for who is no rival."""
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


def compare(runs: Sequence[Run], any_renderer: bool = False, reference: str | None = None) -> Comparison:
    """Compares runs on the chains that all have finished.

    Args:
        runs: At least two.
        any_renderer: Whether the renderers may differ.
        reference: The run that each other is held against, as in an ablation, by its label, its policy's spec or its
            folder's name: fewer tests are made, so that less is lost to Holm's correction. None: each two are compared.

    Raises:
        UnknownNameError: There is no such reference.
        ValueError: There are fewer than two, or no chain that all have finished.
        RunsDifferError: They are not of the same chains, steps, scene, physics, renderer and instruction set; the
            message shows where.
    """
    if len(runs) < 2:
        raise ValueError(f"expected at least two runs to compare, got {len(runs)}. Such as: calvinbench compare runs")
    require_comparable(runs, any_renderer)
    numbers = sorted(set.intersection(*({record.chain for record in run.records} for run in runs)))
    if not numbers:
        raise ValueError("expected a chain that all the runs have finished, found none. Run the rest first.")
    completed = [_completed(run, numbers) for run in runs]
    names, held_against = labels(runs), None if reference is None else _label_of(reference, runs)
    rivals = _rivals(runs, held_against)
    num_rates = runs[0].chain_length
    generator = bootstrap_generator()
    pairs = run_pairs(completed, names, clusters(runs[0], numbers), rivals, num_rates, generator, held_against)
    among = [pair for pair in pairs if pair.labels <= set(rivals)]
    of_rivals = {name: lengths for name, lengths in zip(names, completed, strict=True) if name in rivals}
    successes = [np.stack(list(of_rivals.values())) >= k for k in range(1, num_rates + 1)]
    refusals = _refusals(runs, names)
    best: tuple[str, ...] = ()
    best_rates: tuple[tuple[str, ...], ...] = ()
    words = f"No verdict: {'; '.join(refusals)}."
    quantity = "success" if are_of_tasks(runs) else "average length"
    has_others = len(rivals) < len(names)
    if not refusals and held_against is not None:
        words = verdict_against(held_against, among, quantity, has_others)
    elif not refusals:
        averages = {name: float(lengths.mean()) for name, lengths in of_rivals.items()}
        best = not_told_from_best(averages, {pair.labels for pair in among if pair.is_told_apart})
        best_rates = tuple(_best_at(k, of_rivals, among) for k in range(1, num_rates + 1))
        words = verdict(averages, among, best, quantity, has_others)
    return Comparison(
        tuple(runs),
        names,
        tuple(float(lengths.mean()) for lengths in completed),
        tuple(summarize(run.only(numbers)).clustered for run in runs),
        len(numbers),
        held_against,
        rivals,
        pairs,
        tuple(cochrans_q(found) for found in successes) if len(rivals) > 2 else (),
        best,
        best_rates,
        refusals,
        words,
    )


def compare_if_possible(
    runs: Sequence[Run], any_renderer: bool = False, reference: str | None = None
) -> Comparison | None:
    """As `compare`, or None where there are not two runs with a finished chain in common."""
    shared = set.intersection(*({record.chain for record in run.records} for run in runs))
    return compare(runs, any_renderer, reference) if len(runs) > 1 and shared else None


def _label_of(reference: str, runs: Sequence[Run]) -> str:
    """The label of the run that is meant by its label, its policy's spec or its folder's name.

    Raises:
        UnknownNameError: There is none, or several are.
    """
    names = labels(runs)
    for called in (names, [run.description.policy for run in runs], [run.directory.name for run in runs]):
        if list(called).count(reference) == 1:
            return names[list(called).index(reference)]
    return require_name(reference, names, "reference, which is a run's label, policy or folder:")


def _rivals(runs: Sequence[Run], reference: str | None) -> tuple[str, ...]:
    """Labels of the runs among which the best is sought; with a reference, its own and of those held against it."""
    named = list(zip(labels(runs), runs, strict=True))
    fair = tuple(name for name, run in named if not run.description.privileged or name == reference)
    return fair if len(fair) > 1 else tuple(name for name, _ in named)


def _best_at(
    num_subtasks: int, completed: Mapping[str, Int64[np.ndarray, " chains"]], pairs: Sequence[RunPair]
) -> tuple[str, ...]:
    """Labels of the best at so many subtasks, and of those that are not told from it."""
    rates = {name: float((lengths >= num_subtasks).mean()) for name, lengths in completed.items()}
    told_apart = {pair.labels for pair in pairs if pair.is_told_apart_at(num_subtasks)}
    return not_told_from_best(rates, told_apart) if max(rates.values()) > 0 else ()


def _completed(run: Run, numbers: Sequence[int]) -> Int64[np.ndarray, " chains"]:
    by_number = {record.chain: record.completed for record in run.records}
    return np.array([by_number[number] for number in numbers], dtype=np.int64)


def _refusals(runs: Sequence[Run], names: Sequence[str]) -> tuple[str, ...]:
    reasons = []
    for run, name in zip(runs, names, strict=True):
        if run.num_missing:
            reasons.append(f"{name} has finished {len(run.records)} of {run.description.chains} chains")
        if has_too_many_errors(run):
            reasons.append(
                f"{run.num_errored} of {len(run.records)} chains of {name} errored, more than "
                f"{100 * MAX_ERRORED_SHARE:g}%"
            )
    return tuple(reasons)
