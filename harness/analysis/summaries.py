"""Rates and average length of a run, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from calvinbench.harness.analysis import statistics
from calvinbench.harness.analysis.statistics import Intervals, Mean, Proportion, bootstrap_generator
from calvinbench.harness.records.runs import Run


@dataclass(frozen=True, slots=True)
class Summary:
    """A run's chains, counted.

    Attributes:
        run: The run.
        success: Rates of completing at least 1, 2, ... subtasks, up to all of a chain.
        average_length: Mean number of subtasks completed.
        clustered: The same with an interval over initial states.
        num_states: Initial states in which the chains begin.
    """

    run: Run
    success: tuple[Proportion, ...]
    average_length: Mean
    clustered: Mean
    num_states: int


def summarize(run: Run, intervals: Intervals = "wilson") -> Summary:
    """Counts a run's chains and puts intervals around the counts.

    Args:
        run: The run.
        intervals: Of the rates.
    """
    generator = bootstrap_generator()
    length = run.chain_length
    states = clusters(run, [record.chain for record in run.records])
    return Summary(
        run,
        statistics.success_rates(run.completed, intervals=intervals, chain_length=length),
        statistics.average_length(run.completed, generator, chain_length=length),
        statistics.clustered_average_length(run.completed, states, generator, chain_length=length),
        len(np.unique(states)),
    )


def clusters(run: Run, numbers: Sequence[int]) -> Int64[np.ndarray, " chains"]:
    """A number for each chain's initial state.

    Args:
        run: One that has finished the chains.
        numbers: The chains.
    """
    by_number = {record.chain: tuple(sorted(record.initial_state.items())) for record in run.records}
    states = {state: place for place, state in enumerate(dict.fromkeys(by_number.values()))}
    return np.array([states[by_number[number]] for number in numbers], dtype=np.int64)
