"""Which numbers of a table are the best of their column, and which are not significantly different from it."""

import numpy as np
import pandas as pd

from calvinbench.harness.analysis.comparable import are_of_tasks, has_too_many_errors
from calvinbench.harness.analysis.methods import Method
from calvinbench.harness.analysis.multiple_comparisons import compact_letters
from calvinbench.harness.analysis.training_seeds import MethodSummary, rate_of
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.suite.declared_policy import NOT_TRAINED
from calvinbench.policies.spec import kind_of

LENGTH_COLUMN, ALL_TASKS_COLUMN = "Avg. Len.", "all"


def best_cells(table: TableInput) -> pd.DataFrame:
    """Which numbers are the highest of their column, among complete runs of policies that are not privileged.

    One row a method, one column for each number of subtasks and one for the average length, or `ALL_TASKS_COLUMN` for
    tasks that are run alone. A random or untrained policy is never the best: if it has the highest number alone, the
    column has no best. There is also none if there is nothing to compare, or if the highest number is zero.
    """
    methods, runs = table.methods, table.runs
    columns = [ALL_TASKS_COLUMN] if are_of_tasks(runs) else _columns(runs[0].chain_length)
    best = pd.DataFrame(False, index=range(len(methods)), columns=columns)
    fair = np.array([not method.is_privileged and _is_sound(method) for method in methods], dtype=bool)
    if fair.sum() < 2:
        return best
    trained = np.array(
        [kind_of(method.runs[0].description.policy) not in NOT_TRAINED for method in methods], dtype=bool
    )
    for column in columns:
        values = np.array([_value(each, column) for each in table.summaries])
        highest = np.where(fair, values, -1.0).max()
        best[column] = fair & trained & (values == highest) & (highest > 0)
    return best


def alike_cells(table: TableInput) -> pd.DataFrame:
    """Which numbers are not significantly different from the best of their column.

    The frame has the form of that of `best_cells`, whose cells are not among them. Nothing is without a comparison, or
    if no verdict may be given.
    """
    best, comparison = best_cells(table), table.comparison
    alike = pd.DataFrame(False, index=best.index, columns=best.columns)
    if comparison is not None and comparison.best and best.to_numpy().any():
        names = np.array(table.names)
        rates = () if are_of_tasks(table.runs) else comparison.best_rates
        sets = dict(zip(best.columns, (*rates, comparison.best), strict=True))
        for column, members in sets.items():
            alike[column] = np.isin(names, members) & ~best[column] & best[column].any()
    return alike


def _columns(chain_length: int) -> list[str]:
    return [*(str(k) for k in range(1, chain_length + 1)), LENGTH_COLUMN]


def _value(summary: MethodSummary, column: str) -> float:
    if column in (LENGTH_COLUMN, ALL_TASKS_COLUMN):
        return summary.average_length.value
    return rate_of(summary.success[int(column) - 1])


def _is_sound(method: Method) -> bool:
    """Whether all chains are there and hardly any errored, so that a verdict may be given."""
    return all(run.num_missing == 0 and not has_too_many_errors(run) for run in method.runs)


def letter_cells(table: TableInput) -> pd.DataFrame:
    """Compact letters of each number: methods that are not significantly different share a letter.

    The frame has the form of that of `best_cells`. Cells are empty for privileged policies beside two others, without a
    comparison of all pairs, and if no verdict may be given.
    """
    letters = pd.DataFrame("", index=range(len(table.methods)), columns=best_cells(table).columns)
    comparison = table.comparison
    if comparison is None or comparison.refusals or comparison.reference is not None:
        return letters
    pairs = [pair for pair in comparison.pairs if pair.labels <= set(comparison.rivals)]
    for number, column in enumerate(letters.columns, start=1):
        is_length = column in (LENGTH_COLUMN, ALL_TASKS_COLUMN)
        values = {
            name: _value(each, column)
            for name, each in zip(table.names, table.summaries, strict=True)
            if name in comparison.rivals
        }
        different = {
            pair.labels for pair in pairs if (pair.is_significant if is_length else pair.is_significant_at(number))
        }
        found = compact_letters(sorted(values, key=lambda name: -values[name]), different)
        letters[column] = [found.get(name, "") for name in table.names]
    return letters


def reference_cells(table: TableInput) -> pd.DataFrame:
    """Which average lengths are significantly different from the reference's; only with a reference."""
    found = pd.DataFrame(False, index=range(len(table.methods)), columns=best_cells(table).columns)
    comparison = table.comparison
    if comparison is not None and comparison.reference is not None and not comparison.refusals:
        different = {pair.first for pair in comparison.pairs if pair.is_significant}
        found.iloc[:, -1] = [name in different for name in table.names]
    return found
