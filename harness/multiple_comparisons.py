"""Several runs on the same chains: whether any differ, which do, and how many chains would tell.

The methods are those of Cochran (1950) and Holm (1979).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Int64
from scipy.stats import chi2, norm

from calvinbench.harness.paired_statistics import PairedDifference, paired_difference
from calvinbench.harness.records import NUM_SUBTASKS
from calvinbench.harness.statistics import CONFIDENCE, NUM_RESAMPLES

_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class CochransQ:
    """Whether any of several paired success rates differ.

    Attributes:
        statistic: Q; 0 where no chain tells any two apart.
        degrees_of_freedom: Runs less one.
        p_value: By the chi-square distribution, which holds for many chains.
    """

    statistic: float
    degrees_of_freedom: int
    p_value: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two of several runs.

    Attributes:
        first: Place of the first in the runs.
        second: Place of the second.
        difference: Of their average lengths.
        adjusted_p_value: By Holm over all pairs.
    """

    first: int
    second: int
    difference: PairedDifference
    adjusted_p_value: float


def cochrans_q(successes: Bool[np.ndarray, "runs chains"]) -> CochransQ:
    """Cochran's Q over runs of the same chains.

    Raises:
        ValueError: There are fewer than two runs.
    """
    num_runs = len(successes)
    if num_runs < 2:
        raise ValueError(f"expected at least two runs, got {num_runs}.")
    by_run, by_chain = successes.sum(axis=1), successes.sum(axis=0)
    total = int(by_run.sum())
    spread = num_runs * total - int((by_chain**2).sum())
    if spread == 0:
        return CochransQ(0.0, num_runs - 1, 1.0)
    statistic = (num_runs - 1) * (num_runs * int((by_run**2).sum()) - total**2) / spread
    return CochransQ(statistic, num_runs - 1, float(chi2.sf(statistic, num_runs - 1)))


def holm(p_values: Mapping[_Key, float]) -> dict[_Key, float]:
    """Holm's step-down adjustment: below alpha, all of them may be believed at once with an error of alpha."""
    adjusted: dict[_Key, float] = {}
    largest = 0.0
    for rank, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[key]))
        adjusted[key] = largest
    return {key: adjusted[key] for key in p_values}


def all_pairs(
    completed: Sequence[Int64[np.ndarray, " chains"]],
    generator: np.random.Generator,
    clusters: Int64[np.ndarray, " chains"] | None = None,
    confidence: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
    max_length: int = NUM_SUBTASKS,
) -> tuple[Pair, ...]:
    """Each two of several runs, by their places; see `paired_difference`."""
    found = {
        (one, other): paired_difference(
            completed[one], completed[other], generator, clusters, confidence, num_resamples, max_length
        )
        for one, other in combinations(range(len(completed)), 2)
    }
    adjusted = holm({places: difference.p_value for places, difference in found.items()})
    return tuple(Pair(*places, difference, adjusted[places]) for places, difference in found.items())


def not_distinguishable_from_best(
    pairs: Sequence[Pair], averages: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[int, ...]:
    """The places of the best run and of all that the pairs, by Holm, do not tell from it."""
    best = int(np.argmax(averages))
    worse = {
        pair.second if pair.first == best else pair.first
        for pair in pairs
        if best in (pair.first, pair.second) and pair.adjusted_p_value < 1 - confidence
    }
    return tuple(place for place in range(len(averages)) if place not in worse)


def num_chains_needed(
    difference: float,
    standard_deviation: float,
    correlation: float,
    power: float = 0.8,
    confidence: float = CONFIDENCE,
) -> int:
    """How many chains a paired comparison of average lengths needs.

    Args:
        difference: What is to be found, in subtasks.
        standard_deviation: Of the chains' lengths, the same in both runs.
        correlation: Between the two runs' lengths of a chain, from -1 to 1; 0 for runs that are not paired.
        power: The chance to find it.
        confidence: Of the test, two-sided.

    Raises:
        ValueError: A number is out of its range.
    """
    if difference == 0 or not math.isfinite(difference):
        raise ValueError(f"expected a difference other than 0, got {difference}.")
    _require_design(standard_deviation, correlation, power, confidence)
    quantiles = norm.ppf((1 + confidence) / 2) + norm.ppf(power)
    variance = 2 * standard_deviation**2 * (1 - correlation)
    return math.ceil(variance * (quantiles / difference) ** 2)


def detectable_difference(
    num_chains: int,
    standard_deviation: float,
    correlation: float,
    power: float = 0.8,
    confidence: float = CONFIDENCE,
) -> float:
    """The smallest difference of average lengths that so many chains find; see `num_chains_needed`.

    Raises:
        ValueError: There is no chain, or a number is out of its range.
    """
    if num_chains < 1:
        raise ValueError(f"expected at least one chain, got {num_chains}.")
    _require_design(standard_deviation, correlation, power, confidence)
    quantiles = float(norm.ppf((1 + confidence) / 2) + norm.ppf(power))
    return quantiles * math.sqrt(2 * standard_deviation**2 * (1 - correlation) / num_chains)


def _require_design(standard_deviation: float, correlation: float, power: float, confidence: float) -> None:
    """Refuses numbers of which no plan can be made; the smallest power is the chance of a false alarm."""
    if not 0 < standard_deviation < math.inf:
        raise ValueError(
            f"expected a standard deviation of the chains' lengths above 0, got {standard_deviation}. "
            "Lengths from 0 to 5 have at most 2.5."
        )
    if not -1 <= correlation < 1:
        raise ValueError(
            f"expected a correlation between two runs from -1 to below 1, got {correlation}. Unlike chains have 0."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, got {confidence}.")
    if not 1 - confidence < power < 1:
        raise ValueError(
            f"expected a power above {1 - confidence:.2g}, the chance of a false alarm, and below 1, got {power}. "
            "0.8 is usual."
        )
