"""Policies of one recipe with several training seeds: their mean, with an interval that covers training-seed variance.

All seeds run the same chains, so seeds and chains are crossed random effects. The variance of the mean is computed from
the mean squares of a two-way table, its degrees of freedom by Satterthwaite (1946). With two or three seeds the
interval is wide, as it should be.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from scipy.stats import t

from calvinbench.harness.analysis import statistics
from calvinbench.harness.analysis.methods import methods
from calvinbench.harness.analysis.seed_differences import METHOD, WIDEST, crossed_error
from calvinbench.harness.analysis.statistics import CONFIDENCE, Interval, Mean, bootstrap_generator
from calvinbench.harness.analysis.summaries import clusters
from calvinbench.harness.records.runs import Run


@dataclass(frozen=True, slots=True)
class SeedMean:
    """Runs of one recipe, taken together.

    Attributes:
        label: What they are called.
        runs: One for each training seed.
        num_chains: That all have finished.
        success: Rates of completing at least 1, 2, ... subtasks, up to all of a chain.
        average_length: Mean number of subtasks completed.
        clustered: The same with an interval over initial states.
    """

    label: str
    runs: tuple[Run, ...]
    num_chains: int
    success: tuple[Mean, ...]
    average_length: Mean
    clustered: Mean


def crossed_interval(values: Float64[np.ndarray, "seeds chains"], confidence: float = CONFIDENCE) -> Interval:
    """An interval for the mean over all seeds and all chains that could have been drawn.

    Args:
        values: A row for each seed, a column for each chain; at least two of both. Not all equal.
        confidence: Of the interval.

    Raises:
        ValueError: There are fewer than two seeds or chains, or nothing varies.
    """
    num_seeds, num_chains = values.shape
    if min(num_seeds, num_chains) < 2:
        raise ValueError(f"expected at least two seeds and two chains, got {num_seeds} and {num_chains}.")
    mean, of_seeds, of_chains = values.mean(), values.mean(axis=1), values.mean(axis=0)
    by_seed = num_chains * of_seeds.var(ddof=1)
    by_chain = num_seeds * of_chains.var(ddof=1)
    rest = values - of_seeds[:, None] - of_chains[None, :] + mean
    freedom = np.array([num_seeds - 1, num_chains - 1, (num_seeds - 1) * (num_chains - 1)])
    by_both = (rest**2).sum() / freedom[2]
    squares = np.array([by_seed, by_chain, by_both])
    if not squares.any():
        raise ValueError("expected values that vary, got one value alone, which have no variance.")
    # If the sum is below one of its parts, that part is all that is known.
    total = max(by_seed + by_chain - by_both, by_seed, by_chain)
    degrees = total**2 / (squares**2 / freedom).sum()
    reach = t.ppf((1 + confidence) / 2, degrees) * np.sqrt(total / values.size)
    return Interval(float(mean - reach), float(mean + reach))


def seed_means(runs: Sequence[Run]) -> tuple[SeedMean, ...]:
    """The recipes with several training seeds, in the order of their first runs."""
    return tuple(mean_over_seeds(method.runs, method.marked_name) for method in methods(runs) if method.has_seeds)


def mean_over_seeds(runs: Sequence[Run], label: str, chains: Collection[int] | None = None) -> SeedMean:
    """The mean over training seeds and chains.

    Args:
        runs: At least two runs of one recipe, one for each training seed.
        label: Their name.
        chains: Numbers of the chains; None for all that every run has finished.
    """
    completed = completed_by_seed(runs, chains)
    num_rates = runs[0].chain_length
    finished = set.intersection(*({record.chain for record in run.records} for run in runs))
    numbers = sorted(finished if chains is None else chains)
    length = _length(completed, num_rates)
    return SeedMean(
        label,
        tuple(runs),
        completed.shape[1],
        tuple(_rate(completed >= k) for k in range(1, num_rates + 1)),
        length,
        _clustered(length, completed, clusters(runs[0], numbers), num_rates),
    )


def _clustered(
    length: Mean, completed: Int64[np.ndarray, "seeds chains"], states: Int64[np.ndarray, " chains"], highest: int
) -> Mean:
    """As the mean over chains, if chains of one initial state vary together."""
    if len(np.unique(states)) < statistics.EXACT_NEAR_EDGE:
        return Mean(length.value, Interval(0.0, float(highest)), "exact bound")
    if length.method != METHOD:
        return length
    error = crossed_error(completed, np.zeros_like(completed[:1]), states)
    reach = float(t.ppf((1 + CONFIDENCE) / 2, error.degrees)) * error.standard_error
    return Mean(
        length.value, Interval(max(length.value - reach, 0.0), min(length.value + reach, float(highest))), METHOD
    )


def completed_by_seed(runs: Sequence[Run], chains: Collection[int] | None = None) -> Int64[np.ndarray, "seeds chains"]:
    """Subtasks completed, with a row for each run and a column for each chain, by the number of the chain.

    Args:
        runs: The runs.
        chains: Numbers of the chains; None for all that every run has finished.
    """
    finished = set.intersection(*({record.chain for record in run.records} for run in runs))
    numbers = sorted(finished if chains is None else chains)
    by_number = [{record.chain: record.completed for record in run.records} for run in runs]
    rows = [[lengths[number] for number in numbers] for lengths in by_number]
    return np.array(rows, dtype=np.int64)


def _rate(successes: np.ndarray) -> Mean:
    """Of columns that hardly vary in any row, the widest of the rows' own intervals."""
    singles = [statistics.proportion(int(row.sum()), len(row)) for row in successes]
    fewest = min(min(single.num_successes, single.num_trials - single.num_successes) for single in singles)
    return _mean(successes.astype(float), [single.interval for single in singles], fewest, 1.0)


def _length(completed: Int64[np.ndarray, "seeds chains"], highest: int) -> Mean:
    generator = bootstrap_generator()
    singles = [statistics.average_length(row, generator, chain_length=highest).interval for row in completed]
    fewest = min(len(row) - int(np.bincount(row).max(initial=0)) for row in completed)
    return _mean(completed.astype(float), singles, fewest, float(highest))


def _mean(values: np.ndarray, singles: Sequence[Interval], num_odd: int, highest: float) -> Mean:
    value = float(values.mean()) if values.size else float("nan")
    if num_odd < statistics.EXACT_NEAR_EDGE:
        bound = Interval(min(single.low for single in singles), max(single.high for single in singles))
        return Mean(value, bound, WIDEST)
    found = crossed_interval(values)
    return Mean(value, Interval(max(found.low, 0.0), min(found.high, highest)), METHOD)


def seed_table(means: Sequence[SeedMean]) -> pd.DataFrame:
    """One row a recipe with several training seeds: rates, average length and their intervals, for programs."""
    rows = []
    for group in means:
        seeds = [str(run.description.training_seed) for run in group.runs]
        row: dict[str, object] = {"Method": group.label, "seeds": " ".join(seeds), "chains": group.num_chains}
        columns = {str(k): rate for k, rate in enumerate(group.success, start=1)} | {"Avg. Len.": group.average_length}
        for name, mean in columns.items():
            row |= {name: mean.value, f"{name}_low": mean.interval.low, f"{name}_high": mean.interval.high}
        rows.append(row | {"method": group.average_length.method})
    return pd.DataFrame(rows)
