"""All pairs of several methods on the same chains, and which pairs are significant after Holm's correction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Int64

from calvinbench.harness.analysis.multiple_comparisons import detectable_difference, holm
from calvinbench.harness.analysis.paired_statistics import (
    PairedDifference,
    PairedRates,
    paired_difference,
    paired_success,
    pearson_correlation,
    sign_flip_p_value,
    sums_by_cluster,
)
from calvinbench.harness.analysis.seed_differences import (
    SeedRates,
    clustered_rate_p_value,
    crossed_error,
    seed_difference,
    seed_rates,
)
from calvinbench.harness.analysis.statistics import CONFIDENCE


@dataclass(frozen=True, slots=True)
class RunPair:
    """Two methods, on the chains that all methods have finished.

    Chains of one initial state are not independent. So the p-value that counts is the larger of two: one over single
    chains, and one over initial states, whose chains vary together.

    Attributes:
        first: The first method's label.
        second: The second's.
        difference: Of average lengths, first minus second, over single chains.
        clustered: The same over initial states, each with all its chains.
        adjusted_p_value: The larger of both p-values, by Holm over all pairs of rivals; None if one is not a rival.
        rates: Differences of the rates of completing at least 1, 2, ... subtasks, up to all of a chain.
        clustered_rate_p_values: Of `rates`, over initial states.
        adjusted_rate_p_values: The larger of both p-values at each number of subtasks, by Holm over all pairs of
            rivals; empty if one is not a rival.
        correlation: Of the two methods' lengths over chains. Pairing gains more if it is large.
        detectable: The smallest difference that this number of chains detects with 80% power; NaN if the chains'
            differences do not vary.
    """

    first: str
    second: str
    difference: PairedDifference
    clustered: PairedDifference
    adjusted_p_value: float | None
    rates: tuple[PairedRates | SeedRates, ...]
    clustered_rate_p_values: tuple[float, ...]
    adjusted_rate_p_values: tuple[float, ...]
    correlation: float
    detectable: float

    @property
    def labels(self) -> frozenset[str]:
        """Both labels."""
        return frozenset((self.first, self.second))

    @property
    def is_told_apart_by_chains(self) -> bool:
        """Whether this pair alone differs significantly over single chains."""
        return self.difference.is_distinguishable and self.difference.p_value < 1 - CONFIDENCE

    @property
    def is_told_apart_by_states(self) -> bool:
        """Whether this pair alone differs significantly over initial states."""
        return self.clustered.is_distinguishable and self.clustered.p_value < 1 - CONFIDENCE

    @property
    def is_significant(self) -> bool:
        """Whether one is better: both intervals exclude 0, and the adjusted p-value, if there is one, is below 5%."""
        holds = self.adjusted_p_value is None or self.adjusted_p_value < 1 - CONFIDENCE
        return holds and self.is_told_apart_by_chains and self.is_told_apart_by_states

    def is_significant_at(self, num_subtasks: int) -> bool:
        """Whether the rates of completing at least so many subtasks differ: the adjusted p-value is below 5%."""
        return self.adjusted_rate_p_values[num_subtasks - 1] < 1 - CONFIDENCE


def run_pairs(
    completed: Sequence[Int64[np.ndarray, "..."]],
    names: Sequence[str],
    states: Int64[np.ndarray, " chains"],
    rivals: Collection[str],
    num_rates: int,
    generator: np.random.Generator,
    reference: str | None = None,
) -> tuple[RunPair, ...]:
    """Each two of several methods, or each of them and the reference.

    Two methods of one run each are compared by a bootstrap over chains, sign flips, and McNemar's test. If one of them
    has several training seeds, `seed_differences` compares them: it also covers training-seed variance.

    Args:
        completed: For each method the subtasks completed in each chain; with a row for each training seed if there are
            several.
        names: The methods' labels.
        states: A number for each chain's initial state.
        rivals: Labels of the methods among which the best is sought. Holm's correction is made over their pairs.
        num_rates: Subtasks in a chain, 1 for single tasks.
        generator: Draws the resamples.
        reference: Label of the method that each other is compared with, the second of each pair; None for all pairs.
    """
    by_name = {name: np.atleast_2d(values) for name, values in zip(names, completed, strict=True)}
    both = list(combinations(names, 2))
    if reference is not None:
        both = [(name, reference) for name in names if name != reference]
    arrays = [(by_name[first], by_name[second]) for first, second in both]
    differences = [_difference(*pair, generator, None, num_rates) for pair in arrays]
    clustered = [_difference(*pair, generator, states, num_rates) for pair in arrays]
    rates = [_rates(*pair, num_rates) for pair in arrays]
    by_states = [_clustered_rate_p_values(*pair, states, num_rates) for pair in arrays]

    family = [place for place, pair in enumerate(both) if set(pair) <= set(rivals)]
    of_lengths = holm({place: max(differences[place].p_value, clustered[place].p_value) for place in family})
    of_rates = [
        holm({place: max(rates[place][k].p_value, by_states[place][k]) for place in family}) for k in range(num_rates)
    ]
    return tuple(
        RunPair(
            *both[place],
            differences[place],
            clustered[place],
            of_lengths.get(place),
            rates[place],
            by_states[place],
            tuple(adjusted[place] for adjusted in of_rates) if place in of_lengths else (),
            pearson_correlation(*(values.mean(axis=0) for values in arrays[place])),
            _detectable(*arrays[place]),
        )
        for place in range(len(both))
    )


_Completed = Int64[np.ndarray, "_ chains"]


def _has_seeds(first: _Completed, second: _Completed) -> bool:
    return len(first) > 1 or len(second) > 1


def _difference(
    first: _Completed,
    second: _Completed,
    generator: np.random.Generator,
    states: Int64[np.ndarray, " chains"] | None,
    num_rates: int,
) -> PairedDifference:
    if _has_seeds(first, second):
        return seed_difference(first, second, num_rates, states)
    return paired_difference(first[0], second[0], generator, states, max_length=num_rates)


def _rates(first: _Completed, second: _Completed, num_rates: int) -> tuple[PairedRates | SeedRates, ...]:
    if _has_seeds(first, second):
        return tuple(seed_rates(first, second, k) for k in range(1, num_rates + 1))
    return paired_success(first[0], second[0], max_length=num_rates)


def _clustered_rate_p_values(
    first: _Completed, second: _Completed, states: Int64[np.ndarray, " chains"], num_rates: int
) -> tuple[float, ...]:
    counts = range(1, num_rates + 1)
    if _has_seeds(first, second):
        return tuple(clustered_rate_p_value(first, second, k, states) for k in counts)
    return tuple(
        sign_flip_p_value(sums_by_cluster((first[0] >= k).astype(np.int64) - (second[0] >= k), states)) for k in counts
    )


def _detectable(first: _Completed, second: _Completed) -> float:
    if first.shape[1] < 2:
        return float("nan")
    if _has_seeds(first, second):
        return crossed_error(first, second).detectable()
    spread = float((first[0] - second[0]).std(ddof=1))
    # Of two runs that vary alike, the differences have this spread: sqrt(2 (1 - correlation)) times theirs.
    return detectable_difference(first.shape[1], spread / np.sqrt(2), 0.0) if spread else float("nan")
