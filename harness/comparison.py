"""Runs on the same chains, compared: numbers with intervals, and a verdict in words or the reason why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int64

from calvinbench.harness.comparable import MAX_ERRORED_SHARE, are_of_tasks, has_too_many_errors, require_comparable
from calvinbench.harness.labels import labels
from calvinbench.harness.multiple_comparisons import (
    CochransQ,
    Pair,
    all_pairs,
    cochrans_q,
    detectable_difference,
    not_distinguishable_from_best,
)
from calvinbench.harness.paired_statistics import (
    PairedDifference,
    PairedRates,
    paired_difference,
    paired_success,
    pearson_correlation,
)
from calvinbench.harness.records import NUM_SUBTASKS
from calvinbench.harness.runs import Run

_BOOTSTRAP_SEED = 0
"""Comparisons of the same records are the same."""


@dataclass(frozen=True, slots=True)
class RunPair:
    """Two of the runs, on the chains that all have finished.

    Attributes:
        first: The first run's label.
        second: The second's.
        difference: Of average lengths, first minus second, chains drawn one by one.
        clustered: The same, chains of one initial state drawn together.
        adjusted_p_value: Of `difference`, by Holm over all pairs.
        rates: The differences of the rates of completing at least 1..5 subtasks (of success alone, for single tasks).
        correlation: Of the two runs' lengths over chains; what pairing gains grows with it.
        detectable: The smallest difference that so many chains, paired so well, find with a chance of 80%; NaN where
            the chains' differences do not vary, which tells nothing of it.
    """

    first: str
    second: str
    difference: PairedDifference
    clustered: PairedDifference
    adjusted_p_value: float
    rates: tuple[PairedRates, ...]
    correlation: float
    detectable: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs or more on the same chains.

    Attributes:
        runs: The runs.
        labels: What they are called.
        averages: Their average lengths over the chains that all have finished.
        num_chains: How many those are.
        pairs: Each two of them.
        cochrans_q: At least 1..5 subtasks, whether any differ; empty for two runs.
        best: Labels of the best and of all that are not told from it, by Holm; privileged policies stand aside where
            there are two others; empty where no verdict may be given.
        refusals: Why no verdict may be given; empty where one may.
        verdict: One sentence.
    """

    runs: tuple[Run, ...]
    labels: tuple[str, ...]
    averages: tuple[float, ...]
    num_chains: int
    pairs: tuple[RunPair, ...]
    cochrans_q: tuple[CochransQ, ...]
    best: tuple[str, ...]
    refusals: tuple[str, ...]
    verdict: str

    def frame(self) -> pd.DataFrame:
        """One row a pair, for programs."""
        return pd.DataFrame(
            [
                {"first": pair.first, "second": pair.second, "chains": self.num_chains}
                | {"difference": pair.difference.value}
                | {"low": pair.difference.interval.low, "high": pair.difference.interval.high}
                | {"clustered_low": pair.clustered.interval.low, "clustered_high": pair.clustered.interval.high}
                | {"p": pair.difference.p_value, "p_holm": pair.adjusted_p_value, "p_clustered": pair.clustered.p_value}
                | {f"difference_{k}": rates.difference for k, rates in enumerate(pair.rates, start=1)}
                | {f"p_mcnemar_{k}": rates.p_value for k, rates in enumerate(pair.rates, start=1)}
                | {"correlation": pair.correlation, "detectable": pair.detectable}
                for pair in self.pairs
            ]
        )


def compare(runs: Sequence[Run], any_renderer: bool = False) -> Comparison:
    """Compares runs on the chains that all have finished.

    Args:
        runs: At least two.
        any_renderer: Whether the renderers may differ.

    Raises:
        ValueError: There are fewer than two, or no chain that all have finished.
        RunsDifferError: They are not of the same chains, steps, scene, renderer and instruction set; the message shows
            where.
    """
    if len(runs) < 2:
        raise ValueError(f"expected at least two runs to compare, got {len(runs)}. Such as: calvinbench compare runs")
    require_comparable(runs, any_renderer)
    numbers = sorted(set.intersection(*({record.chain for record in run.records} for run in runs)))
    if not numbers:
        raise ValueError("expected a chain that all the runs have finished, found none. Run the rest first.")
    completed = [_completed(run, numbers) for run in runs]
    states = clusters(runs[0], numbers)
    generator = np.random.default_rng(_BOOTSTRAP_SEED)
    names = labels(runs)
    num_rates = 1 if are_of_tasks(runs) else NUM_SUBTASKS  # and subtasks in a chain
    plain = all_pairs(completed, generator, max_length=num_rates)
    averages = tuple(float(lengths.mean()) for lengths in completed)
    refusals = _refusals(runs, names)
    pairs = tuple(_run_pair(pair, names, completed, states, generator, num_rates) for pair in plain)
    rivals = _rivals(runs)
    best = _best(plain, averages, rivals)
    return Comparison(
        tuple(runs),
        names,
        averages,
        len(numbers),
        pairs,
        tuple(cochrans_q(np.stack(completed) >= k) for k in range(1, num_rates + 1)) if len(runs) > 2 else (),
        () if refusals else tuple(names[place] for place in best),
        refusals,
        _verdict(names, averages, plain, best, rivals, refusals, "success" if are_of_tasks(runs) else "average length"),
    )


def compare_if_possible(runs: Sequence[Run], any_renderer: bool = False) -> Comparison | None:
    """As `compare`, or None where there are not two runs with a finished chain in common."""
    shared = set.intersection(*({record.chain for record in run.records} for run in runs))
    return compare(runs, any_renderer) if len(runs) > 1 and shared else None


def _rivals(runs: Sequence[Run]) -> tuple[int, ...]:
    """Places of the runs among which the best is sought."""
    fair = tuple(place for place, run in enumerate(runs) if not run.description.privileged)
    return fair if len(fair) > 1 else tuple(range(len(runs)))


def _best(pairs: Sequence[Pair], averages: Sequence[float], rivals: Sequence[int]) -> tuple[int, ...]:
    """Places of the best rival and of those that are not told from it."""
    ours = [pair for pair in pairs if pair.first in rivals and pair.second in rivals]
    lengths = [average if place in rivals else -np.inf for place, average in enumerate(averages)]
    return tuple(place for place in not_distinguishable_from_best(ours, lengths) if place in rivals)


def _completed(run: Run, numbers: Sequence[int]) -> Int64[np.ndarray, " chains"]:
    by_number = {record.chain: record.completed for record in run.records}
    return np.array([by_number[number] for number in numbers], dtype=np.int64)


def clusters(run: Run, numbers: Sequence[int]) -> Int64[np.ndarray, " chains"]:
    """A number for each chain's initial state.

    Args:
        run: One that has finished the chains.
        numbers: The chains.
    """
    by_number = {record.chain: tuple(sorted(record.initial_state.items())) for record in run.records}
    states = {state: place for place, state in enumerate(dict.fromkeys(by_number.values()))}
    return np.array([states[by_number[number]] for number in numbers], dtype=np.int64)


def _run_pair(
    pair: Pair,
    names: Sequence[str],
    completed: Sequence[Int64[np.ndarray, " chains"]],
    states: Int64[np.ndarray, " chains"],
    generator: np.random.Generator,
    num_rates: int,
) -> RunPair:
    first, second = completed[pair.first], completed[pair.second]
    correlation = pearson_correlation(first, second)
    spread = float((first - second).std(ddof=1)) if len(first) > 1 else float("nan")
    return RunPair(
        names[pair.first],
        names[pair.second],
        pair.difference,
        paired_difference(first, second, generator, states, max_length=num_rates),
        pair.adjusted_p_value,
        paired_success(first, second)[:num_rates],
        correlation,
        # Of two runs that vary alike, the differences have this spread: sqrt(2 (1 - correlation)) times theirs.
        detectable_difference(len(first), spread / np.sqrt(2), 0.0) if spread > 0 else float("nan"),
    )


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


def _verdict(
    names: Sequence[str],
    averages: Sequence[float],
    pairs: Sequence[Pair],
    best: Sequence[int],
    rivals: Sequence[int],
    refusals: Sequence[str],
    quantity: str,
) -> str:
    """One sentence; "better" only where the interval leaves out 0 and the test agrees."""
    if refusals:
        return f"No verdict: {'; '.join(refusals)}."
    if len(names) == 2:
        return _verdict_of_two(names, pairs[0].difference, quantity)
    top = max(best, key=lambda place: averages[place])
    others = [names[place] for place in best if place != top]
    aside = "" if len(rivals) == len(names) else ", privileged policies aside"
    if len(best) == len(rivals):
        told = f"None of the {len(rivals)} runs is told apart from the best, {names[top]}"
        return f"{told}, in {quantity} (Holm, 5%){aside}."
    rest = "better than the rest" if others else "better than all others"
    alike = f"not distinguishable from {_listed(others)}, and " if others else ""
    return f"{names[top]} is {alike}{rest} in {quantity} (Holm, 5%){aside}."


def _verdict_of_two(names: Sequence[str], difference: PairedDifference, quantity: str) -> str:
    interval = f"[{difference.interval.low:+.2f}, {difference.interval.high:+.2f}]"
    numbers = f"{difference.value:+.2f} {interval}, p = {difference.p_value:.2g}, {difference.num_chains} chains"
    if not difference.is_distinguishable or difference.p_value >= 0.05:
        return f"{names[0]} and {names[1]} are not distinguishable in {quantity}: {numbers}."
    better, worse = (names[0], names[1]) if difference.value > 0 else (names[1], names[0])
    return f"{better} is better than {worse} in {quantity}: {names[0]} minus {names[1]} is {numbers}."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
