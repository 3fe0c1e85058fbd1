"""Which numbers of a table are the best of their column, and which are not told from it."""

import numpy as np
import pandas as pd

from calvinbench.harness.analysis.comparable import are_of_tasks, has_too_many_errors
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.suite.declared_policy import NOT_TRAINED
from calvinbench.policies.spec import kind_of

LENGTH_COLUMN, ALL_TASKS_COLUMN = "Avg. Len.", "all"


def best_cells(table: TableInput) -> pd.DataFrame:
    """Which numbers are the highest of their column, among sound runs of policies that are not privileged.

    One row a run, one column for each number of subtasks and one for the average length, or `ALL_TASKS_COLUMN` where
    tasks are run alone. A random or untrained policy takes part in the comparison but is never the best: where it has
    the highest number alone, the column has no best. There is no best either where nothing can be compared, or where
    the highest number is zero.
    """
    runs = table.runs
    columns = [ALL_TASKS_COLUMN] if are_of_tasks(runs) else _columns(runs[0].chain_length)
    best = pd.DataFrame(False, index=range(len(runs)), columns=columns)
    fair = np.array([not run.description.privileged and _is_sound(run) for run in runs], dtype=bool)
    if fair.sum() < 2:
        return best
    trained = np.array([kind_of(run.description.policy) not in NOT_TRAINED for run in runs], dtype=bool)
    for column in columns:
        values = np.array([_value(run, column) if is_fair else -1.0 for run, is_fair in zip(runs, fair, strict=True)])
        highest = values.max()
        best[column] = fair & trained & (values == highest) & (highest > 0)
    return best


def alike_cells(table: TableInput) -> pd.DataFrame:
    """Which numbers are not told from the best of their column: average lengths, and rates at each number of subtasks.

    As `best_cells`, whose cells are not among them; nothing without a comparison, or where no verdict may be given.
    """
    best, comparison = best_cells(table), table.comparison
    alike = pd.DataFrame(False, index=best.index, columns=best.columns)
    if comparison is not None and comparison.best and best.to_numpy().any():
        names = np.array(table.labels)
        rates = () if are_of_tasks(table.runs) else comparison.best_rates
        sets = dict(zip(best.columns, (*rates, comparison.best), strict=True))
        for column, members in sets.items():
            alike[column] = np.isin(names, members) & ~best[column] & best[column].any()
    return alike


def _columns(chain_length: int) -> list[str]:
    return [*(str(k) for k in range(1, chain_length + 1)), LENGTH_COLUMN]


def _value(run: Run, column: str) -> float:
    if column in (LENGTH_COLUMN, ALL_TASKS_COLUMN):
        return float(run.completed.mean())
    return float((run.completed >= int(column)).mean())


def _is_sound(run: Run) -> bool:
    """Whether all chains are there and hardly any errored, so that a verdict may be given."""
    return run.num_missing == 0 and not has_too_many_errors(run)
