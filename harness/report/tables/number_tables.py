"""Numbers for programs: of methods and runs, by position in the chain, of first failures, and of each task."""

from dataclasses import replace

import pandas as pd

from calvinbench.envs.chain_env import SOLVED
from calvinbench.harness.analysis import statistics
from calvinbench.harness.analysis.methods import PRIVILEGED_MARK, methods
from calvinbench.harness.analysis.statistics import Proportion
from calvinbench.harness.analysis.training_seeds import rate_of, summarize_method
from calvinbench.harness.report.table_input import TableInput


def number_table(table: TableInput) -> pd.DataFrame:
    """One row a method, with rates from 0 to 1 and the ends of their intervals in columns of their own.

    Average lengths also have an interval over initial states (`_clustered`), rates of a single run also Clopper and
    Pearson's (`_exact`). Numbers of a method with several training seeds are means over seeds.
    """
    rows = []
    for summary in table.summaries:
        method, description = summary.method, summary.method.runs[0].description
        attributes = {name: method.attributes.get(name) for name in ("size", "origin", "memory", "chunk rule")}
        row: dict[str, object] = {
            "Method": method.marked_name,
            "Train": description.train,
            "training_seeds": method.attributes.get("training seed"),
            **{name.replace(" ", "_"): value for name, value in attributes.items()},
            "policy": method.attributes.get("policy"),
            "privileged": description.privileged,
        }
        for k, rate in enumerate(summary.success, start=1):
            row |= {str(k): rate_of(rate), f"{k}_low": rate.interval.low, f"{k}_high": rate.interval.high}
            if isinstance(rate, Proportion):
                exact = statistics.clopper_pearson(rate.num_successes, rate.num_trials)
                row |= {f"{k}_exact_low": exact.low, f"{k}_exact_high": exact.high}
        length, of_states = summary.average_length, summary.clustered.interval
        row |= {"Avg. Len.": length.value, "Avg. Len._low": length.interval.low, "Avg. Len._high": length.interval.high}
        row |= {"Avg. Len._clustered_low": of_states.low, "Avg. Len._clustered_high": of_states.high}
        row |= {"n": summary.num_chains, "errors": summary.num_errors, "steps": description.max_steps}
        row |= {"scene": description.scene, "instructions": description.instructions, "seed": description.seed}
        row |= {"memory_reset": description.memory.reset, "official": str(description.official)}
        row |= {"directory": "; ".join(run.directory.as_posix() for run in method.runs)}
        rows.append(row)
    return pd.DataFrame(rows)


def run_table(table: TableInput) -> pd.DataFrame:
    """As `number_table`, one row a run: each training seed by itself."""
    singles = methods(table.runs, seeds="each")
    named = {id(method.runs[0]): method for method in singles}
    found = [replace(named[id(run)], name=label.removesuffix(f" {PRIVILEGED_MARK}")) for run, label in table.labelled()]
    known = {id(each.method.runs[0]): each for each in table.summaries if not each.method.has_seeds}
    summaries = [
        replace(known[id(method.runs[0])], method=method)
        if id(method.runs[0]) in known
        else summarize_method(method, table.intervals)
        for method in found
    ]
    return number_table(
        TableInput(tuple(found), published=(), comparison=None, intervals=table.intervals, summaries=tuple(summaries))
    )


def conditional_table(table: TableInput) -> pd.DataFrame:
    """One row for each run and position in the chain: subtasks solved, of those reached."""
    return pd.DataFrame(
        [
            {"policy": run.description.policy, "label": label, "position": position}
            | {"solved": rate.num_successes, "reached": rate.num_trials, "rate": rate.rate}
            | {"low": rate.interval.low, "high": rate.interval.high, "method": rate.method}
            for run, label in table.labelled()
            for position, rate in enumerate(
                statistics.conditional_success(run.completed, intervals=table.intervals, chain_length=run.chain_length),
                start=1,
            )
        ]
    )


def first_failure_table(table: TableInput) -> pd.DataFrame:
    """One row for each run, task and position at which chains ended unsolved: the number of chains."""
    rows = [
        {"policy": run.description.policy, "label": label, "task": subtask.task, "position": position}
        | {"outcome": subtask.outcome}
        for run, label in table.labelled()
        for record in run.records
        for position, subtask in enumerate(record.subtasks, start=1)
        if subtask.outcome != SOLVED
    ]
    columns = ["policy", "label", "task", "position", "outcome"]
    counted: pd.DataFrame = pd.DataFrame(rows, columns=columns).value_counts(sort=False).reset_index(name="chains")
    return counted


def task_table(table: TableInput) -> pd.DataFrame:
    """One row for each run and task that it reached: solved, reached, the rate, and its interval with its method."""
    return pd.DataFrame(
        [
            {
                "policy": run.description.policy,
                "label": label,
                "task": task,
                "solved": rate.num_successes,
                "reached": rate.num_trials,
                "rate": rate.rate,
                "low": rate.interval.low,
                "high": rate.interval.high,
                "method": rate.method,
            }
            for run, label in table.labelled()
            for task, rate in statistics.task_success(run.records, intervals=table.intervals).items()
        ]
    )
