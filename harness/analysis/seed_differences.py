"""Two methods on the same chains, of which at least one has several training seeds: differences and their tests.

The values of a chain are averaged over the seeds of a method, and methods are paired by chain. Seeds and chains are
random effects, and crossed: all seeds run the same chains. So the variance of the difference is a sum of

- the variance of seed means, over the number of seeds, of each method with several seeds;
- the variance over chains of the difference of the methods' means in a chain, over the number of chains. With clusters
  it is the cluster-robust variance: chains of one initial state vary together;
- minus the variance of what is left in each method with several seeds, which both of these contain.

The interval and the test are Student's, with degrees of freedom by Satterthwaite (1946). For one method against nothing
this is `training_seeds.crossed_interval`. The training-seed variance of a method with a single seed is unknown: it is
not in the interval. With two seeds the interval is wide, as it should be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float64, Int64
from scipy.stats import t

from calvinbench.harness.analysis.paired_statistics import (
    PairedDifference,
    paired_difference,
    paired_rates,
)
from calvinbench.harness.analysis.statistics import (
    CONFIDENCE,
    EXACT_NEAR_EDGE,
    NUM_RESAMPLES,
    Interval,
    bootstrap_generator,
)

METHOD = "seeds and chains crossed"
WIDEST = "widest of the seeds'"
"""The method if too few chains differ from the rest: the pair of seeds with the widest interval."""


@dataclass(frozen=True, slots=True)
class CrossedError:
    """The standard error of a difference of means over seeds and chains.

    Attributes:
        standard_error: At least 0.
        degrees: Degrees of freedom; NaN if nothing varies.
    """

    standard_error: float
    degrees: float

    def detectable(self, power: float = 0.8, confidence: float = CONFIDENCE) -> float:
        """The smallest difference that is found with this power; NaN if nothing varies."""
        if not self.standard_error:
            return float("nan")
        quantiles = t.ppf((1 + confidence) / 2, self.degrees) + t.ppf(power, self.degrees)
        return float(quantiles * self.standard_error)


def crossed_error(
    first: Int64[np.ndarray, "seeds chains"] | Float64[np.ndarray, "seeds chains"],
    second: Int64[np.ndarray, "other_seeds chains"] | Float64[np.ndarray, "other_seeds chains"],
    clusters: Int64[np.ndarray, " chains"] | None = None,
) -> CrossedError:
    """The standard error of the mean of `first` minus that of `second`.

    Args:
        first: A row for each training seed of a method, a column for each chain; at least two chains.
        second: The same of the other method.
        clusters: A number for each chain, the same for chains that vary together; None: each chain by itself.
    """
    added: list[tuple[float, float]] = [_of_chains(first.mean(axis=0) - second.mean(axis=0), clusters)]
    removed: list[tuple[float, float]] = []
    for values in (first, second):
        if len(values) > 1:
            added.append((float(values.mean(axis=1).var(ddof=1)) / len(values), float(len(values) - 1)))
            removed.append(_of_rest(values.astype(np.float64)))
    total = sum(square for square, _ in added) - sum(square for square, _ in removed)
    # Where the sum would be below one of its parts, that part is all that is known.
    total = max(total, *(square for square, _ in added))
    weights = sum(square**2 / freedom for square, freedom in [*added, *removed] if square)
    return CrossedError(float(np.sqrt(total)), total**2 / weights if weights else float("nan"))


def _of_chains(
    differences: Float64[np.ndarray, " chains"], clusters: Int64[np.ndarray, " chains"] | None
) -> tuple[float, float]:
    """Variance of the mean over chains, and its degrees of freedom."""
    if clusters is None:
        return float(differences.var(ddof=1)) / len(differences), float(len(differences) - 1)
    sums = np.bincount(np.unique(clusters, return_inverse=True)[1], weights=differences - differences.mean())
    scale = len(sums) / (len(sums) - 1) if len(sums) > 1 else 0.0
    return float(scale * (sums**2).sum()) / len(differences) ** 2, float(max(len(sums) - 1, 1))


def _of_rest(values: Float64[np.ndarray, "seeds chains"]) -> tuple[float, float]:
    """Variance of the mean by what neither seed nor chain explains, and its degrees of freedom."""
    rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    freedom = (values.shape[0] - 1) * (values.shape[1] - 1)
    return float((rest**2).sum()) / freedom / values.size, float(freedom)


def seed_difference(
    first: Int64[np.ndarray, "seeds chains"],
    second: Int64[np.ndarray, "other_seeds chains"],
    max_length: int,
    clusters: Int64[np.ndarray, " chains"] | None = None,
    confidence: float = CONFIDENCE,
) -> PairedDifference:
    """The difference of two means over seeds and chains, first minus second, with interval and p-value.

    Where fewer than 5 chains differ from the rest in their difference, or fewer than 5 clusters are there, the interval
    is the widest and the p-value the largest of all pairs of seeds.

    Args:
        first: Subtasks completed, a row for each training seed, a column for each chain.
        second: The other method's, of the same chains in the same order.
        max_length: Subtasks in a chain; 1 for single tasks, and for whether a chain succeeded.
        clusters: A number for each chain, the same for chains of one initial state.
        confidence: Of the interval.
    """
    value = float(first.mean() - second.mean())
    num_chains = first.shape[1]
    if _varies_too_little(first, second, clusters):
        singles = [
            paired_difference(one, other, bootstrap_generator(), clusters, confidence, NUM_RESAMPLES, max_length)
            for one, other in product(first, second)
        ]
        interval = _widest([single.interval for single in singles])
        return PairedDifference(value, interval, WIDEST, max(single.p_value for single in singles), num_chains)
    error = crossed_error(first, second, clusters)
    reach = float(t.ppf((1 + confidence) / 2, error.degrees)) * error.standard_error
    p_value = float(2 * t.sf(abs(value) / error.standard_error, error.degrees))
    interval = Interval(max(value - reach, -float(max_length)), min(value + reach, float(max_length)))
    return PairedDifference(value, interval, METHOD, p_value, num_chains)


def _varies_too_little(first: np.ndarray, second: np.ndarray, clusters: np.ndarray | None) -> bool:
    differences = len(second) * first.sum(axis=0) - len(first) * second.sum(axis=0)  # whole numbers
    counts = np.unique(differences, return_counts=True)[1]
    few = differences.size - counts.max() < EXACT_NEAR_EDGE
    return bool(few) or (clusters is not None and len(np.unique(clusters)) < EXACT_NEAR_EDGE)


def _widest(intervals: Sequence[Interval]) -> Interval:
    return Interval(min(each.low for each in intervals), max(each.high for each in intervals))


@dataclass(frozen=True, slots=True)
class SeedRates:
    """The difference of two success rates over seeds and chains, first minus second.

    Attributes:
        difference: Of the mean rates.
        num_chains: Number of chains.
        interval: For the difference.
        p_value: Two-sided.
    """

    difference: float
    num_chains: int
    interval: Interval
    p_value: float


def seed_rates(
    first: Int64[np.ndarray, "seeds chains"], second: Int64[np.ndarray, "other_seeds chains"], num_subtasks: int
) -> SeedRates:
    """The difference of the rates of completing at least `num_subtasks`; see `seed_difference`.

    Where fewer than 5 chains differ from the rest, the widest of Tango's intervals and the largest of McNemar's
    p-values of all pairs of seeds.
    """
    ours, theirs = (first >= num_subtasks), (second >= num_subtasks)
    if _varies_too_little(ours.astype(np.int64), theirs.astype(np.int64), None):
        singles = [paired_rates(one, other) for one, other in product(ours, theirs)]
        value = float(ours.mean() - theirs.mean())
        interval = _widest([single.interval for single in singles])
        return SeedRates(value, first.shape[1], interval, max(single.p_value for single in singles))
    found = seed_difference(ours.astype(np.int64), theirs.astype(np.int64), 1)
    return SeedRates(found.value, found.num_chains, found.interval, found.p_value)


def clustered_rate_p_value(
    first: Int64[np.ndarray, "seeds chains"],
    second: Int64[np.ndarray, "other_seeds chains"],
    num_subtasks: int,
    clusters: Int64[np.ndarray, " chains"],
) -> float:
    """The p-value of `seed_rates` if chains of one cluster vary together."""
    ours, theirs = (first >= num_subtasks).astype(np.int64), (second >= num_subtasks).astype(np.int64)
    return seed_difference(ours, theirs, 1, clusters).p_value
