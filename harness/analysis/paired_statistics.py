"""Two runs on the same chains: their difference, its interval, and its p-value.

Chains are paired: both runs have the same initial state and tasks, so the difficulty of a chain cancels out. The
methods are those of McNemar (1947), Tango (1998, Statistics in Medicine 17:891-908) and Fisher's sign-flip permutation,
which is exact here; intervals of means are Efron's percentile bootstrap.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.optimize import brentq
from scipy.stats import norm

from calvinbench.harness.analysis.statistics import (
    CONFIDENCE,
    EXACT_NEAR_EDGE,
    NUM_RESAMPLES,
    Interval,
    clopper_pearson,
    resampled_cluster_means,
)
from calvinbench.harness.records.records import NUM_SUBTASKS


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The difference of two average lengths, first minus second.

    Attributes:
        value: Its estimate.
        interval: Its confidence interval.
        method: How the interval was found, `"bootstrap"` or `"exact bound"`.
        p_value: For the hypothesis of no difference, two-sided.
        num_chains: Pairs.
    """

    value: float
    interval: Interval
    method: str
    p_value: float
    num_chains: int

    @property
    def is_distinguishable(self) -> bool:
        """Whether the interval excludes 0."""
        return not self.interval.low <= 0.0 <= self.interval.high


@dataclass(frozen=True, slots=True)
class PairedRates:
    """The difference of two success rates, first minus second.

    Attributes:
        num_only_first: Chains in which the first succeeded and the second did not.
        num_only_second: The other way round.
        num_chains: Pairs.
        interval: Tango's.
        p_value: McNemar's exact one, two-sided.
    """

    num_only_first: int
    num_only_second: int
    num_chains: int
    interval: Interval
    p_value: float

    @property
    def difference(self) -> float:
        """Of the observed rates."""
        return (self.num_only_first - self.num_only_second) / self.num_chains


def paired_difference(
    first: Int64[np.ndarray, " chains"],
    second: Int64[np.ndarray, " as_many"],
    generator: np.random.Generator,
    clusters: Int64[np.ndarray, " chains"] | None = None,
    confidence: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
    max_length: int = NUM_SUBTASKS,
) -> PairedDifference:
    """How much longer the first run's chains are on average.

    If fewer than 5 chains differ from the rest in their difference, a bootstrap interval would be too short. Then it is
    a bound, as in `statistics.average_length`, with differences from -`max_length` to `max_length`. With fewer than 5
    clusters the interval has all possible differences.

    Args:
        first: Subtasks completed in each chain, 0 to `max_length`.
        second: The other run's, of the same chains in the same order.
        generator: Draws the resamples.
        clusters: A number for each chain, the same for chains that are not independent, such as those of one initial
            state: they are drawn, and change sign, together. None: all chains are independent.
        confidence: Of the interval.
        num_resamples: Bootstrap samples.
        max_length: Subtasks in a chain; 1 for single tasks.

    Raises:
        ValueError: There is no chain, the runs' numbers of chains differ, or a chain completed more than it has.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(
            f"expected as many chains of both runs, at least one, got {len(first)} and {len(second)}. Compare the "
            "chains that both have finished."
        )
    if not 0 <= min(first.min(), second.min()) <= max(first.max(), second.max()) <= max_length:
        raise ValueError(
            f"expected from 0 to {max_length} subtasks completed in each chain, got up to "
            f"{max(first.max(), second.max())}. Give the chains' length as max_length."
        )
    differences = first - second
    value = float(differences.mean())
    grouped = np.arange(len(differences)) if clusters is None else clusters
    p_value = sign_flip_p_value(sums_by_cluster(differences, grouped))
    if clusters is not None and len(np.unique(clusters)) < EXACT_NEAR_EDGE:
        whole = Interval(-float(max_length), float(max_length))
        return PairedDifference(value, whole, "exact bound", p_value, len(first))
    counts = np.bincount(differences + max_length)
    commonest = int(counts.argmax())
    if len(differences) - counts[commonest] < EXACT_NEAR_EDGE:
        least = clopper_pearson(int(counts[commonest]), len(differences), confidence).low
        centre, reach = least * (commonest - max_length), max_length * (1 - least)
        return PairedDifference(value, Interval(centre - reach, centre + reach), "exact bound", p_value, len(first))
    means = resampled_cluster_means(differences, grouped, generator, num_resamples)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return PairedDifference(value, Interval(float(low), float(high)), "bootstrap", p_value, len(first))


def sums_by_cluster(
    values: Int64[np.ndarray, " chains"], clusters: Int64[np.ndarray, " chains"]
) -> Int64[np.ndarray, " clusters"]:
    """The sum over each cluster's chains, in the order of the clusters' numbers."""
    return np.bincount(np.unique(clusters, return_inverse=True)[1], weights=values).astype(np.int64)


def sign_flip_p_value(differences: Int64[np.ndarray, " n"]) -> float:
    """The probability that the sum of differences is at least as far from 0 if each has a random sign.

    It is exact: the distribution over all 2^n signs is computed, one difference after another.
    """
    sizes = np.abs(differences[differences != 0])
    reach = int(sizes.sum())
    chance = np.zeros(2 * reach + 1)  # of the sums -reach..reach
    chance[reach] = 1.0
    for size in sizes:
        shifted = np.zeros_like(chance)
        shifted[size:] += chance[:-size] / 2
        shifted[:-size] += chance[size:] / 2
        chance = shifted
    sums = np.abs(np.arange(-reach, reach + 1))
    return min(1.0, float(chance[sums >= abs(int(differences.sum()))].sum()))


def paired_rates(
    first: Bool[np.ndarray, " chains"], second: Bool[np.ndarray, " as_many"], confidence: float = CONFIDENCE
) -> PairedRates:
    """The difference of two success rates.

    Args:
        first: Whether each chain succeeded.
        second: The same of the other run, of the same chains in the same order.
        confidence: Of the interval.

    Raises:
        ValueError: There is no chain, or the runs' numbers of chains differ.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"expected as many chains of both runs, at least one, got {len(first)} and {len(second)}.")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return PairedRates(
        only_first,
        only_second,
        len(first),
        tango_interval(only_first, only_second, len(first), confidence),
        mcnemar_p_value(only_first, only_second),
    )


def mcnemar_p_value(num_only_first: int, num_only_second: int) -> float:
    """McNemar's exact test, two-sided, of whether the two success rates differ.

    Args:
        num_only_first: Chains in which only the first succeeded.
        num_only_second: Chains in which only the second succeeded.
    """
    if not num_only_first + num_only_second:
        return 1.0
    from statsmodels.stats.contingency_tables import mcnemar

    return min(1.0, float(mcnemar([[0, num_only_first], [num_only_second, 0]], exact=True).pvalue))


def tango_interval(
    num_only_first: int, num_only_second: int, num_pairs: int, confidence: float = CONFIDENCE
) -> Interval:
    """Tango's score interval of the difference of two paired rates: all that a score test does not reject."""
    limit = float(norm.ppf((1 + confidence) / 2))
    estimate = (num_only_first - num_only_second) / num_pairs
    excess = partial(_tango_excess, num_only_first, num_only_second, num_pairs)
    edge = 1 - 1e-12
    low = -1.0 if excess(-edge, limit) <= 0 else float(brentq(excess, -edge, estimate, args=(limit,), xtol=1e-12))
    high = 1.0 if excess(edge, -limit) >= 0 else float(brentq(excess, estimate, edge, args=(-limit,), xtol=1e-12))
    return Interval(low, high)


def _tango_excess(num_only_first: int, num_only_second: int, num_pairs: int, difference: float, bound: float) -> float:
    return _tango_score(num_only_first, num_only_second, num_pairs, difference) - bound


def _tango_score(num_only_first: int, num_only_second: int, num_pairs: int, difference: float) -> float:
    """The score statistic of a difference; large if the data support a larger one (equations 3 to 5 of Tango)."""
    linear = -num_only_first - num_only_second + (2 * num_pairs - num_only_first + num_only_second) * difference
    constant = -num_only_second * difference * (1 - difference)
    root = math.sqrt(max(linear**2 - 8 * num_pairs * constant, 0.0))
    chance = (root - linear) / (4 * num_pairs)  # that the second alone succeeds, most likely under this difference
    variance = num_pairs * (2 * chance + difference * (1 - difference))
    distance = num_only_first - num_only_second - num_pairs * difference
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def paired_success(
    first: Int64[np.ndarray, " chains"],
    second: Int64[np.ndarray, " chains"],
    confidence: float = CONFIDENCE,
    max_length: int = NUM_SUBTASKS,
) -> tuple[PairedRates, ...]:
    """The differences of the rates of completing at least 1, 2, ... subtasks, up to `max_length`."""
    return tuple(paired_rates(first >= k, second >= k, confidence) for k in range(1, max_length + 1))


def pearson_correlation(
    first: Float64[np.ndarray, " chains"] | Int64[np.ndarray, " chains"],
    second: Float64[np.ndarray, " chains"] | Int64[np.ndarray, " chains"],
) -> float:
    """The correlation of the chains' lengths; NaN if one of them does not vary."""
    if len(first) < 2 or first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
