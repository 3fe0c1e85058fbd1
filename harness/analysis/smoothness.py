"""Smoothness of policies: change of the action per step, changes of the gripper command, steps to success.

A failing policy may hardly move, and harder tasks need other motions. So two policies are compared on the subtasks that
both solved: of the same chain, at the same position.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from calvinbench.envs.chain_env import SOLVED
from calvinbench.harness.analysis.comparison import Comparison
from calvinbench.harness.analysis.methods import Method, labels
from calvinbench.harness.analysis.statistics import (
    CONFIDENCE,
    EXACT_NEAR_EDGE,
    NUM_RESAMPLES,
    Interval,
    bootstrap_generator,
    resampled_cluster_means,
)
from calvinbench.harness.records.records import SubtaskRecord
from calvinbench.harness.records.runs import Run

MEASURES: Mapping[str, Callable[[SubtaskRecord], float | int | None]] = MappingProxyType(
    {
        "action_change": lambda subtask: subtask.action_change,
        "gripper_changes": lambda subtask: subtask.gripper_changes,
        "steps": lambda subtask: subtask.steps,
    }
)
"""What is measured of a solved subtask; None if its record does not have it."""
MEASURE_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "steps": "Steps to success",
        "action_change": "Change of action per step",
        "gripper_changes": "Gripper changes",
    }
)
"""Names of the measures in tables, in their order."""
_DIGITS = {"steps": 1, "action_change": 4, "gripper_changes": 3}


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """A measure of two runs or methods over the subtasks that both solved.

    Attributes:
        first: The first run's mean.
        second: The second's.
        difference: First minus second.
        interval: For the difference, by bootstrap over chains with all their subtasks. NaN to NaN if fewer than 5
            chains have such a subtask.
        num_subtasks: Subtasks that both solved and for which both records have the measure.
    """

    first: float
    second: float
    difference: float
    interval: Interval
    num_subtasks: int


def solved_mean(run: Run, measure: str) -> float:
    """A run's own mean over all subtasks that it solved; NaN if there is none.

    Args:
        run: The run.
        measure: One of `MEASURES`.
    """
    found = [MEASURES[measure](subtask) for record in run.records for subtask in record.subtasks if _is_solved(subtask)]
    told = [value for value in found if value is not None]
    return float(np.mean(told)) if told else float("nan")


def mean_difference(
    first: Run | Method,
    second: Run | Method,
    measure: str,
    generator: np.random.Generator,
    confidence: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
) -> MeanDifference | None:
    """Compares two runs or methods on the subtasks that both solved; None if there is none.

    The value of a method with several training seeds is the mean over the seeds that solved the subtask.

    Args:
        first: A run or method.
        second: Another, of the same chains.
        measure: One of `MEASURES`.
        generator: Draws the resamples.
        confidence: Of the interval.
        num_resamples: Bootstrap samples.
    """
    return _difference(_solved(first, measure), _solved(second, measure), generator, confidence, num_resamples)


_Solved = Mapping[tuple[int, int], float]
"""A measure of each subtask that a run or method solved, by chain and position."""


def _difference(
    ours: _Solved, theirs: _Solved, generator: np.random.Generator, confidence: float, num_resamples: int
) -> MeanDifference | None:
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return None
    of_first = np.array([ours[place] for place in shared], dtype=np.float64)
    of_second = np.array([theirs[place] for place in shared], dtype=np.float64)
    differences = of_first - of_second
    return MeanDifference(
        float(of_first.mean()),
        float(of_second.mean()),
        float(differences.mean()),
        _interval(differences, np.array([chain for chain, _ in shared]), generator, confidence, num_resamples),
        len(shared),
    )


Differences = Mapping[tuple[str, str, str], MeanDifference | None]
"""By the names of two runs and the measure; None where both solved no subtask that has it."""


def run_differences(runs: Sequence[Run], names: Sequence[str] | None = None) -> Differences:
    """Each two of several runs, in each measure.

    Args:
        runs: The runs.
        names: Their names; None for `labels`.
    """
    names = names or labels(runs)
    solved = {measure: [_solved(run, measure) for run in runs] for measure in MEASURES}
    return {
        (names[first], names[second], measure): _difference(
            solved[measure][first], solved[measure][second], bootstrap_generator(), CONFIDENCE, NUM_RESAMPLES
        )
        for first, second in combinations(range(len(runs)), 2)
        for measure in MEASURES
    }


def smoothness_table(differences: Differences) -> pd.DataFrame:
    """One row for each pair of runs and each measure that both records have: the numbers of `MeanDifference`."""
    columns = ["first", "second", "measure", "mean_first", "mean_second", "difference", "low", "high", "subtasks"]
    return pd.DataFrame(
        [
            {"first": first, "second": second, "measure": measure}
            | {"mean_first": found.first, "mean_second": found.second, "difference": found.difference}
            | {"low": found.interval.low, "high": found.interval.high, "subtasks": found.num_subtasks}
            for (first, second, measure), found in differences.items()
            if found is not None
        ],
        columns=columns,
    )


def smoothness_in_words(comparison: Comparison, known: Differences = MappingProxyType({})) -> pd.DataFrame:
    """One row for each of `Comparison.shown_pairs` that solved a subtask in common, all text; see `SMOOTHNESS_NOTE`.

    Args:
        comparison: The comparison.
        known: Differences of its runs, see `run_differences`. They are not computed again if each method is one run.
    """
    if comparison.has_seeds:  # names of single seeds are not those of methods
        known = {}
    methods = dict(zip(comparison.labels, comparison.methods, strict=True))
    rows = []
    for pair in comparison.shown_pairs:
        both = pair.first, pair.second
        first, second = methods[pair.first], methods[pair.second]
        found = {
            measure: known[(*both, measure)]
            if (*both, measure) in known
            else mean_difference(first, second, measure, bootstrap_generator())
            for measure in MEASURES
        }
        if (steps := found["steps"]) is not None:
            rows.append(
                {"first": pair.first, "second": pair.second, "both solved": str(steps.num_subtasks)}
                | {name: _in_words(found[measure], _DIGITS[measure]) for measure, name in MEASURE_NAMES.items()}
            )
    return pd.DataFrame(rows)


SMOOTHNESS_NOTE = (
    "First minus second: means over the subtasks that both methods solved, at the same position of the same chain. "
    "Brackets: 95% confidence intervals of the difference, by bootstrap over chains, not corrected for multiple "
    "comparisons. smoothness.csv has all pairs of runs."
)
"""The note below `smoothness_in_words`."""


def _in_words(found: MeanDifference | None, digits: int) -> str:
    if found is None:
        return "-"
    low, high = found.interval.low, found.interval.high
    interval = "" if np.isnan(low) else f" [{low:+.{digits}f}, {high:+.{digits}f}]"
    return f"{found.first:.{digits}f} - {found.second:.{digits}f} = {found.difference:+.{digits}f}{interval}"


def _is_solved(subtask: SubtaskRecord) -> bool:
    return subtask.outcome == SOLVED


def _solved(shown: Run | Method, measure: str) -> _Solved:
    """The measure of each solved subtask whose record has it, by chain and position; the mean over runs."""
    found: dict[tuple[int, int], list[float]] = {}
    for run in shown.runs if isinstance(shown, Method) else (shown,):
        for record in run.records:
            for place, subtask in enumerate(record.subtasks):
                value = MEASURES[measure](subtask)
                if _is_solved(subtask) and value is not None:
                    found.setdefault((record.chain, place), []).append(float(value))
    return {place: values[0] if len(values) == 1 else float(np.mean(values)) for place, values in found.items()}


def _interval(
    differences: Float64[np.ndarray, " subtasks"],
    chains: Int64[np.ndarray, " subtasks"],
    generator: np.random.Generator,
    confidence: float,
    num_resamples: int,
) -> Interval:
    if len(np.unique(chains)) < EXACT_NEAR_EDGE:
        return Interval(float("nan"), float("nan"))
    means = resampled_cluster_means(differences, chains, generator, num_resamples)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))
