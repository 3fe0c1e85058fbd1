"""Rates and average length of a method: of its run, or the mean over its training seeds."""

from collections.abc import Collection
from dataclasses import dataclass

from calvinbench.harness.analysis.methods import Method
from calvinbench.harness.analysis.statistics import Intervals, Mean, Proportion
from calvinbench.harness.analysis.summaries import summarize
from calvinbench.harness.analysis.training_seeds import mean_over_seeds


@dataclass(frozen=True, slots=True)
class MethodSummary:
    """A method's chains, counted.

    Attributes:
        method: The method.
        success: Rates of completing at least 1, 2, ... subtasks, up to all of a chain. With several training seeds they
            are means over seeds, with intervals that cover training-seed variance.
        average_length: Mean number of subtasks completed, likewise.
        clustered: The same with an interval over initial states.
        num_chains: Chains that all runs of the method have finished.
        num_errors: Errored chains in all of its runs.
        num_states: Initial states in which the chains begin.
    """

    method: Method
    success: tuple[Proportion | Mean, ...]
    average_length: Mean
    clustered: Mean
    num_chains: int
    num_errors: int
    num_states: int


def summarize_method(
    method: Method, intervals: Intervals = "wilson", chains: Collection[int] | None = None
) -> MethodSummary:
    """Counts a method's chains and puts intervals around the counts.

    Args:
        method: The method.
        intervals: Of the rates of a single run.
        chains: Numbers of the chains; None for all that its runs have finished.
    """
    runs = method.runs if chains is None else tuple(run.only(chains) for run in method.runs)
    single = summarize(runs[0], intervals)
    num_errors = sum(run.num_errored for run in runs)
    if not method.has_seeds:
        return MethodSummary(
            *(method, single.success, single.average_length, single.clustered),
            *(len(runs[0].records), num_errors, single.num_states),
        )
    mean = mean_over_seeds(runs, method.marked_name)
    return MethodSummary(
        *(method, mean.success, mean.average_length, mean.clustered, mean.num_chains, num_errors, single.num_states)
    )


def rate_of(rate: Proportion | Mean) -> float:
    """The rate itself; NaN without a trial."""
    return rate.rate if isinstance(rate, Proportion) else rate.value
