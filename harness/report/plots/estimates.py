"""The numbers that figures draw, for a method of one run or of several training seeds."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.chain_env import SOLVED
from calvinbench.harness.analysis import statistics
from calvinbench.harness.analysis.methods import Method
from calvinbench.harness.analysis.speed import Speed, speed
from calvinbench.harness.analysis.statistics import (
    EXACT_NEAR_EDGE,
    Interval,
    Intervals,
    Mean,
    Proportion,
    SurvivalCurve,
    bootstrap_generator,
    proportion,
)
from calvinbench.harness.analysis.training_seeds import crossed_interval, mean_over_seeds
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.records.runs import Run


@dataclass(frozen=True, slots=True)
class Tries:
    """Successes of tries, over all runs of a method.

    Attributes:
        num_successes: Over all runs.
        num_trials: Over all runs.
    """

    num_successes: int
    num_trials: int

    @property
    def rate(self) -> float:
        """Successes over tries, NaN without a try."""
        return self.num_successes / self.num_trials if self.num_trials else float("nan")


@dataclass(frozen=True, slots=True)
class Share(Tries):
    """A rate with its interval.

    Attributes:
        interval: 95% interval of the rate. With several training seeds it also covers the variation between seeds.
    """

    interval: Interval


def survival_of(method: Method) -> SurvivalCurve:
    """The survival curve of one run with its simultaneous band, or the mean of several seeds.

    The intervals of a mean are over seeds and chains, at each number of subtasks by itself.
    """
    first = method.runs[0]
    if not method.has_seeds:
        return statistics.survival_curve(first.completed, bootstrap_generator(), chain_length=first.chain_length)
    rates = mean_over_seeds(method.runs, method.name).success
    return SurvivalCurve(
        np.array([rate.value for rate in rates]),
        np.array([rate.interval.low for rate in rates]),
        np.array([rate.interval.high for rate in rates]),
    )


def length_of(method: Method) -> Mean:
    """The average length with its interval; of several seeds, their mean."""
    first = method.runs[0]
    if not method.has_seeds:
        return statistics.average_length(first.completed, bootstrap_generator(), chain_length=first.chain_length)
    return mean_over_seeds(method.runs, method.name).average_length


def conditional_of(method: Method, intervals: Intervals = "wilson") -> tuple[Share, ...]:
    """Success at each position of a chain, of the chains that reached it."""
    places = range(1, method.runs[0].chain_length + 1)
    completed = [np.array([record.completed for record in records]) for records in _records(method)]
    return tuple(
        _share(
            np.array([row >= place for row in completed], dtype=np.float64),
            np.array([row >= place - 1 for row in completed], dtype=np.float64),
            intervals,
        )
        for place in places
    )


def tasks_of(method: Method) -> Mapping[str, Tries]:
    """Success of each task that was reached, in alphabetical order."""
    solved: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    for records in _records(method):
        for record in records:
            reached.update(subtask.task for subtask in record.subtasks)
            solved.update(subtask.task for subtask in record.subtasks if subtask.outcome == SOLVED)
    return {name: Tries(solved[name], reached[name]) for name in sorted(reached)}


def speed_of(method: Method) -> Speed:
    """Times of a step, over all runs."""
    return speed(together(method))


def together(method: Method) -> Run:
    """One run with the chains of all runs."""
    return replace(method.runs[0], records=tuple(record for run in method.runs for record in run.records))


def _records(method: Method) -> list[list[ChainRecord]]:
    """The finished chains of each run: of several, those that all have finished, in the same order."""
    if not method.has_seeds:
        return [list(method.runs[0].records)]
    chosen = set(method.chains)
    return [sorted((r for r in run.records if r.chain in chosen), key=lambda r: r.chain) for run in method.runs]


def _share(
    successes: Float64[np.ndarray, "seeds chains"], trials: Float64[np.ndarray, "seeds chains"], intervals: Intervals
) -> Share:
    """Successes over tries. The interval of several seeds is that of the linearised ratio, seeds and chains crossed."""
    num_successes, num_trials = int(successes.sum()), int(trials.sum())
    singles = [
        proportion(int(solved.sum()), int(tried.sum()), intervals=intervals)
        for solved, tried in zip(successes, trials, strict=True)
    ]
    if len(singles) == 1:
        return Share(num_successes, num_trials, singles[0].interval)
    if min(map(_num_odd, singles)) < EXACT_NEAR_EDGE:
        low, high = min(each.interval.low for each in singles), max(each.interval.high for each in singles)
        return Share(num_successes, num_trials, Interval(low, high))
    rate = num_successes / num_trials
    found = crossed_interval(rate + (successes - rate * trials) / trials.mean())
    return Share(num_successes, num_trials, Interval(max(found.low, 0.0), min(found.high, 1.0)))


def _num_odd(share: Proportion) -> int:
    return min(share.num_successes, share.num_trials - share.num_successes)
