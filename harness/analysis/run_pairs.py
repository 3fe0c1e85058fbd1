"""Each two of several runs on the same chains, and which of them are told apart once all are looked at together."""

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
from calvinbench.harness.analysis.statistics import CONFIDENCE


@dataclass(frozen=True, slots=True)
class RunPair:
    """Two of the runs, on the chains that all have finished.

    Chains of one initial state are not independent draws. So the p that counts is the larger of two: of single chains,
    and of initial states, whose chains change sign together.

    Attributes:
        first: The first run's label.
        second: The second's.
        difference: Of average lengths, first minus second, chains drawn one by one.
        clustered: The same, chains of one initial state drawn together.
        adjusted_p_value: The larger p of both, by Holm over all pairs of rivals; None where one is not a rival.
        rates: The differences of the rates of completing at least 1, 2, ... subtasks, up to all of a chain.
        clustered_rate_p_values: Of `rates`, chains of one initial state changing sign together.
        adjusted_rate_p_values: The larger p of both at each number of subtasks, by Holm over all pairs of rivals; empty
            where one is not a rival.
        correlation: Of the two runs' lengths over chains; what pairing gains grows with it.
        detectable: The smallest difference that so many chains, paired so well, find with a chance of 80%; NaN where
            the chains' differences do not vary, which tells nothing of it.
    """

    first: str
    second: str
    difference: PairedDifference
    clustered: PairedDifference
    adjusted_p_value: float | None
    rates: tuple[PairedRates, ...]
    clustered_rate_p_values: tuple[float, ...]
    adjusted_rate_p_values: tuple[float, ...]
    correlation: float
    detectable: float

    @property
    def labels(self) -> frozenset[str]:
        """Both runs' labels."""
        return frozenset((self.first, self.second))

    @property
    def is_told_apart_by_chains(self) -> bool:
        """Whether single chains, this pair alone looked at, leave out that nothing tells the two apart."""
        return self.difference.is_distinguishable and self.difference.p_value < 1 - CONFIDENCE

    @property
    def is_told_apart_by_states(self) -> bool:
        """The same, chains of one initial state taken together."""
        return self.clustered.is_distinguishable and self.clustered.p_value < 1 - CONFIDENCE

    @property
    def is_told_apart(self) -> bool:
        """Whether one is better: both intervals leave out 0, and the adjusted p, where there is one, is below 5%."""
        holds = self.adjusted_p_value is None or self.adjusted_p_value < 1 - CONFIDENCE
        return holds and self.is_told_apart_by_chains and self.is_told_apart_by_states

    def is_told_apart_at(self, num_subtasks: int) -> bool:
        """Whether the rate of completing at least so many subtasks differs: the adjusted p is below 5%."""
        return self.adjusted_rate_p_values[num_subtasks - 1] < 1 - CONFIDENCE


def run_pairs(
    completed: Sequence[Int64[np.ndarray, " chains"]],
    names: Sequence[str],
    states: Int64[np.ndarray, " chains"],
    rivals: Collection[str],
    num_rates: int,
    generator: np.random.Generator,
    reference: str | None = None,
) -> tuple[RunPair, ...]:
    """Each two of several runs, or each of them and the one that all are held against.

    Args:
        completed: Subtasks completed in each chain, a run after the other.
        names: Their labels.
        states: A number for each chain's initial state.
        rivals: Labels of those among which the best is sought, to whose pairs the adjustment is made.
        num_rates: Subtasks in a chain, 1 for single tasks.
        generator: Draws the resamples.
        reference: Label of the one that each other is held against, the second of each pair; None for each two.
    """
    by_name = dict(zip(names, completed, strict=True))
    both = list(combinations(names, 2))
    if reference is not None:
        both = [(name, reference) for name in names if name != reference]
    arrays = [(by_name[first], by_name[second]) for first, second in both]
    differences = [paired_difference(*pair, generator, max_length=num_rates) for pair in arrays]
    clustered = [paired_difference(*pair, generator, states, max_length=num_rates) for pair in arrays]
    rates = [paired_success(*pair, max_length=num_rates) for pair in arrays]
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
            pearson_correlation(*arrays[place]),
            _detectable(*arrays[place]),
        )
        for place in range(len(both))
    )


def _clustered_rate_p_values(
    first: Int64[np.ndarray, " chains"],
    second: Int64[np.ndarray, " chains"],
    states: Int64[np.ndarray, " chains"],
    num_rates: int,
) -> tuple[float, ...]:
    return tuple(
        sign_flip_p_value(sums_by_cluster((first >= k).astype(np.int64) - (second >= k), states))
        for k in range(1, num_rates + 1)
    )


def _detectable(first: Int64[np.ndarray, " chains"], second: Int64[np.ndarray, " chains"]) -> float:
    spread = float((first - second).std(ddof=1)) if len(first) > 1 else 0.0
    # Of two runs that vary alike, the differences have this spread: sqrt(2 (1 - correlation)) times theirs.
    return detectable_difference(len(first), spread / np.sqrt(2), 0.0) if spread else float("nan")
