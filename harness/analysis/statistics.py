"""Rates and averages with their intervals: pure functions of arrays.

The methods are those of Wilson (1927), Clopper and Pearson (1934) and Efron's percentile bootstrap.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64
from scipy.stats import binomtest

from calvinbench.envs.chain_env import SOLVED
from calvinbench.harness.records.records import NUM_SUBTASKS, ChainRecord

CONFIDENCE = 0.95
EXACT_BELOW = 200
"""Below this many trials intervals of rates are Clopper-Pearson's, from here on Wilson's, ..."""
EXACT_NEAR_EDGE = 5
"""... unless there are fewer successes or failures than this."""
NUM_RESAMPLES = 10_000
BOOTSTRAP_SEED = 0
"""Random seed of every bootstrap. It is fixed, so that the same records give the same tables and figures."""


Intervals = Literal["wilson", "exact"]
"""Intervals of rates: Wilson's (Clopper-Pearson's for few trials or near 0 and 1), or Clopper-Pearson's everywhere."""


def bootstrap_generator() -> np.random.Generator:
    """A new generator for bootstrap samples, always with `BOOTSTRAP_SEED`."""
    return np.random.default_rng(BOOTSTRAP_SEED)


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, both ends included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Proportion:
    """A rate of successes.

    Attributes:
        num_successes: Number of successes.
        num_trials: Number of trials.
        interval: Its confidence interval.
        method: `"clopper-pearson"` or `"wilson"`.
    """

    num_successes: int
    num_trials: int
    interval: Interval
    method: str

    @property
    def rate(self) -> float:
        """Successes over trials, NaN without a trial."""
        return self.num_successes / self.num_trials if self.num_trials else float("nan")


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over chains, with its interval and how that was found.

    That is `"bootstrap"`, `"cluster bootstrap"` or `"exact bound"`.
    """

    value: float
    interval: Interval
    method: str


@dataclass(frozen=True, slots=True)
class SurvivalCurve:
    """Rates of completing at least 1, 2, ... subtasks, with a band that holds the whole curve at once.

    Attributes:
        rates: At k = 1 up to the chains' length.
        low: The band's lower edge.
        high: The band's upper edge.
    """

    rates: Float64[np.ndarray, " k"]
    low: Float64[np.ndarray, " k"]
    high: Float64[np.ndarray, " k"]


def wilson(num_successes: int, num_trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a rate."""
    return _binomial_interval(num_successes, num_trials, confidence, "wilson")


def clopper_pearson(num_successes: int, num_trials: int, confidence: float = CONFIDENCE) -> Interval:
    """The exact (conservative) interval of a rate."""
    return _binomial_interval(num_successes, num_trials, confidence, "exact")


@lru_cache(maxsize=8192)  # figures and tables of one report ask for the same few hundred, each found by root finding
def _binomial_interval(num_successes: int, num_trials: int, confidence: float, method: Intervals) -> Interval:
    if not 0 <= num_successes <= num_trials:
        raise ValueError(f"expected 0 <= successes <= trials, got {num_successes} and {num_trials}.")
    if num_trials == 0:
        return Interval(0.0, 1.0)
    found = binomtest(num_successes, num_trials).proportion_ci(confidence, method=method)
    return Interval(float(found.low), float(found.high))


def proportion(
    num_successes: int, num_trials: int, confidence: float = CONFIDENCE, intervals: Intervals = "wilson"
) -> Proportion:
    """A rate with the interval that suits it: exact for few trials or near 0 and 1 or on request, else Wilson's.

    Raises:
        ValueError: There are more successes than trials, or fewer than none.
    """
    near_edge = min(num_successes, num_trials - num_successes) < EXACT_NEAR_EDGE
    if intervals == "exact" or num_trials < EXACT_BELOW or near_edge:
        interval = clopper_pearson(num_successes, num_trials, confidence)
        return Proportion(num_successes, num_trials, interval, "clopper-pearson")
    return Proportion(num_successes, num_trials, wilson(num_successes, num_trials, confidence), "wilson")


def survivors(
    completed: Int64[np.ndarray, " chains"], chain_length: int = NUM_SUBTASKS
) -> Int64[np.ndarray, " chain_length"]:
    """How many chains completed at least 1, 2, ... subtasks, up to all.

    Args:
        completed: Subtasks completed in each chain, 0 to `chain_length`.
        chain_length: Subtasks in each chain.

    Raises:
        ValueError: A chain completed more than it has, or the length is below 1.
    """
    _require_lengths(completed, chain_length)
    return np.array([(completed >= k).sum() for k in range(1, chain_length + 1)], dtype=np.int64)


def _require_lengths(completed: Int64[np.ndarray, " chains"], chain_length: int) -> None:
    """Checks that no chain completed more than its length."""
    if chain_length < 1:
        raise ValueError(f"expected a chain length of at least 1, got {chain_length}.")
    if len(completed) and not 0 <= completed.min() <= completed.max() <= chain_length:
        raise ValueError(
            f"expected from 0 to {chain_length} subtasks completed in each chain, got {completed.min()} to "
            f"{completed.max()}. Give the chains' length as chain_length."
        )


def success_rates(
    completed: Int64[np.ndarray, " chains"],
    confidence: float = CONFIDENCE,
    intervals: Intervals = "wilson",
    chain_length: int = NUM_SUBTASKS,
) -> tuple[Proportion, ...]:
    """The rates of completing at least 1, 2, ... subtasks of `chain_length`, each with an interval of its own."""
    counts = survivors(completed, chain_length)
    return tuple(proportion(int(count), len(completed), confidence, intervals) for count in counts)


def conditional_success(
    completed: Int64[np.ndarray, " chains"],
    confidence: float = CONFIDENCE,
    intervals: Intervals = "wilson",
    chain_length: int = NUM_SUBTASKS,
) -> tuple[Proportion, ...]:
    """The rate of completing each subtask where all before it were completed: solved over reached, by position."""
    counts = [len(completed), *(int(count) for count in survivors(completed, chain_length))]
    return tuple(proportion(solved, reached, confidence, intervals) for reached, solved in pairwise(counts))


def average_length(
    completed: Int64[np.ndarray, " chains"],
    generator: np.random.Generator,
    confidence: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
    chain_length: int = NUM_SUBTASKS,
) -> Mean:
    """The mean number of subtasks completed, with a percentile bootstrap over chains.

    If all chains agree, a bootstrap interval has width zero; if fewer than 5 differ from the rest, it is too short.
    Then a bound is given: with m of n chains at the commonest value v, the probability p of v is at
    least Clopper-Pearson's lower end for m of n, and the mean lies between p v (all else 0) and p v + L (1 - p) (all
    else L, the chains' length), whatever the distribution on 0..L. It covers with at least the confidence.

    Args:
        completed: Subtasks completed in each chain, 0 to `chain_length`.
        generator: Draws the resamples.
        confidence: Of the interval.
        num_resamples: Bootstrap samples.
        chain_length: Subtasks in each chain.

    Raises:
        ValueError: A chain completed more than it has.
    """
    _require_lengths(completed, chain_length)
    num_chains = len(completed)
    if num_chains == 0:
        return Mean(float("nan"), Interval(0.0, float(chain_length)), "exact bound")
    value = float(completed.mean())
    counts = np.bincount(completed)
    commonest = int(counts.argmax())
    if num_chains - counts[commonest] < EXACT_NEAR_EDGE:
        least = clopper_pearson(int(counts[commonest]), num_chains, confidence).low
        low = least * commonest
        return Mean(value, Interval(low, low + chain_length * (1 - least)), "exact bound")
    means = _resampled_rates(completed, generator, num_resamples, chain_length).sum(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Mean(value, Interval(float(low), float(high)), "bootstrap")


def resampled_cluster_means(
    values: Int64[np.ndarray, " chains"] | Float64[np.ndarray, " chains"],
    clusters: Int64[np.ndarray, " chains"],
    generator: np.random.Generator,
    num_resamples: int = NUM_RESAMPLES,
) -> Float64[np.ndarray, " resamples"]:
    """Means of bootstrap samples in which clusters are drawn, with all their chains.

    Clusters of as many chains and the same sum are alike: how often each kind is drawn is multinomial.

    Args:
        values: One for each chain.
        clusters: A number for each chain, the same for those of one cluster.
        generator: Draws the resamples.
        num_resamples: Bootstrap samples.
    """
    _, places = np.unique(clusters, return_inverse=True)
    sums, sizes = np.bincount(places, weights=values), np.bincount(places)
    kinds, counts = np.unique(np.stack([sums, sizes]), axis=1, return_counts=True)
    drawn = generator.multinomial(len(sizes), counts / len(sizes), size=num_resamples)  # (resamples, kinds)
    draws = drawn.astype(np.float64)  # once, not for each product
    means: Float64[np.ndarray, " resamples"] = (draws @ kinds[0]) / (draws @ kinds[1])
    return means


def clustered_average_length(
    completed: Int64[np.ndarray, " chains"],
    clusters: Int64[np.ndarray, " chains"],
    generator: np.random.Generator,
    confidence: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
    chain_length: int = NUM_SUBTASKS,
) -> Mean:
    """As `average_length`, drawing clusters: CALVIN's 1000 chains begin in 192 initial states.

    With fewer than 5 clusters the interval has all possible means.

    Args:
        completed: Subtasks completed in each chain, 0 to `chain_length`.
        clusters: A number for each chain, the same for those that begin alike.
        generator: Draws the resamples.
        confidence: Of the interval.
        num_resamples: Bootstrap samples.
        chain_length: Subtasks in each chain.
    """
    plain = average_length(completed, generator, confidence, num_resamples, chain_length)
    if len(np.unique(clusters)) < EXACT_NEAR_EDGE:
        return Mean(plain.value, Interval(0.0, float(chain_length)), "exact bound")
    if plain.method != "bootstrap":
        return plain
    means = resampled_cluster_means(completed, clusters, generator, num_resamples)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Mean(plain.value, Interval(float(low), float(high)), "cluster bootstrap")


def survival_curve(
    completed: Int64[np.ndarray, " chains"],
    generator: np.random.Generator,
    confidence: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
    chain_length: int = NUM_SUBTASKS,
) -> SurvivalCurve:
    """The success rates at k = 1 up to the chains' length with a simultaneous band.

    Resampled curves differ from the observed one, in units of the standard error at each k, by a largest amount; the
    band is as wide as a quantile of it. Near 0 and 1 (fewer than 5 successes or failures) a bootstrap claims too much:
    there the band is Clopper-Pearson's. The error is shared: an equal part of it (a fifth, with five subtasks) for each
    k of the second kind, the rest for those of the first together. At last the band is narrowed by what is known of the
    curve: it never rises.

    Args:
        completed: Subtasks completed in each chain, 0 to `chain_length`; at least one chain.
        generator: Draws the resamples.
        confidence: That the whole curve lies in the band.
        num_resamples: Bootstrap samples.
        chain_length: Subtasks in each chain.

    Raises:
        ValueError: There is no chain, or one completed more than it has.
    """
    num_chains = len(completed)
    if num_chains == 0:
        raise ValueError("expected at least one finished chain for a survival curve, got none.")
    counts = survivors(completed, chain_length)
    rates = counts / num_chains
    errors = np.sqrt(rates * (1 - rates) / num_chains)
    inside = np.minimum(counts, num_chains - counts) >= EXACT_NEAR_EDGE
    shared_error = (1 - confidence) / chain_length
    low, high = rates.copy(), rates.copy()
    if inside.any():
        resampled = _resampled_rates(completed, generator, num_resamples, chain_length)[:, inside]
        largest = (np.abs(resampled - rates[inside]) / errors[inside]).max(axis=1)
        reach = np.quantile(largest, 1 - shared_error * inside.sum()) * errors[inside]
        low[inside], high[inside] = rates[inside] - reach, rates[inside] + reach
    for k in np.flatnonzero(~inside):
        interval = clopper_pearson(int(counts[k]), num_chains, 1 - shared_error)
        low[k], high[k] = interval.low, interval.high
    low = np.maximum.accumulate(low[::-1])[::-1]
    high = np.minimum.accumulate(high)
    return SurvivalCurve(rates, np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0))


def _resampled_rates(
    completed: Int64[np.ndarray, " chains"], generator: np.random.Generator, num_resamples: int, chain_length: int
) -> Float64[np.ndarray, "resamples chain_length"]:
    """Survival rates of bootstrap samples: to draw chains with replacement is to draw counts of lengths."""
    num_chains = len(completed)
    counts = np.bincount(completed, minlength=chain_length + 1)
    draws = generator.multinomial(num_chains, counts / num_chains, size=num_resamples)  # (resamples, lengths from 0)
    at_least = draws[:, ::-1].cumsum(axis=1)[:, ::-1]  # (resamples, at least 0, 1, ..., all)
    return at_least[:, 1:] / num_chains


def task_success(
    records: Iterable[ChainRecord], confidence: float = CONFIDENCE, intervals: Intervals = "wilson"
) -> Mapping[str, Proportion]:
    """Solved over reached for each task that was reached, in alphabetical order. An error counts as a failure."""
    reached: dict[str, int] = {}
    solved: dict[str, int] = {}
    for record in records:
        for subtask in record.subtasks:
            reached[subtask.task] = reached.get(subtask.task, 0) + 1
            solved[subtask.task] = solved.get(subtask.task, 0) + (subtask.outcome == SOLVED)
    return {task: proportion(solved[task], reached[task], confidence, intervals) for task in sorted(reached)}
