"""The columns of a table: rates and average lengths of one condition, and the attributes of methods."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from calvinbench.envs.names import require_name
from calvinbench.harness.analysis import statistics
from calvinbench.harness.analysis.attributes import ATTRIBUTE_NAMES, CONDITIONS
from calvinbench.harness.analysis.comparable import are_of_tasks
from calvinbench.harness.analysis.methods import Method, differing_attributes
from calvinbench.harness.analysis.statistics import Interval, Mean, Proportion
from calvinbench.harness.analysis.training_seeds import rate_of
from calvinbench.harness.report.best_cells import (
    ALL_TASKS_COLUMN,
    LENGTH_COLUMN,
    alike_cells,
    best_cells,
    letter_cells,
    reference_cells,
)
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.report.tables.grid import NOT_THERE, Cell, Column
from calvinbench.harness.report.tables.style import TableStyle
from calvinbench.harness.suite.declared_policy import NOT_TRAINED
from calvinbench.policies.spec import kind_of

ALIKE_MARK = "\u2248"
"""Marks a number that is not significantly different from the best of its column."""
REFERENCE_MARK = "*"
"""Marks an average length that is significantly different from the reference's."""
AVERAGE = "avg"
TITLES: Mapping[str, str] = MappingProxyType(
    {AVERAGE: LENGTH_COLUMN, "trained on": "Train", "training seed": "Seeds", "policy name": "Policy"}
)
"""Headers of columns that are not the column's name with a capital letter."""
_COUNTS = ("n", "errors", "steps")
_NOT_BY_DEFAULT = {"policy name", "variant", "policy", "seed", "worlds at once", "chunk length", *CONDITIONS}
"""Attributes that are no columns unless asked for: they are in the name, or in the notes."""
_BEFORE_RATES, _MIDDLE = 1, 3
"""See `Column.optional`."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval, in the unit in which a table shows it."""

    value: float
    interval: Interval
    digits: int

    def cell(self, style: TableStyle, mark: str = "", is_best: bool = False) -> Cell:
        """The number as text."""
        if math.isnan(self.value):
            return Cell(NOT_THERE)
        interval = self.interval
        texts = {
            "none": "",
            "pm": f"\u00b1 {max(self.value - interval.low, interval.high - self.value):.{self.digits}f}",
        }
        brackets = f"[{interval.low:.{self.digits}f}, {interval.high:.{self.digits}f}]"
        text = texts.get(style.intervals, brackets)
        return Cell(f"{self.value:.{self.digits}f}", text, mark, is_best, style.intervals == "below")


def percent(rate: Proportion | Mean, precision: int) -> Estimate:
    """A rate in percent."""
    scaled = Interval(100 * rate.interval.low, 100 * rate.interval.high)
    return Estimate(100 * rate_of(rate), scaled, precision)


def result_columns(table: TableInput, style: TableStyle, names: Sequence[str], group: str = "") -> list[Column]:
    """Columns of numbers, a cell for each method.

    Args:
        table: The methods of one condition.
        style: Digits and marks.
        names: Numbers of subtasks, `"avg"`, `"n"`, `"errors"`, `"steps"`, tasks or `"all"`.
        group: The condition's title.
    """
    known = [*result_names(table), *_COUNTS]
    best, marks = best_cells(table), _marks(table, style)
    columns = []
    for name in names:
        require_name(name, known, "column")
        title = TITLES.get(name, name)
        if name in _COUNTS:
            cells = [Cell(text) for text in _counts(table, name)]
        else:
            estimates = _estimates(table, name, style.precision)
            is_marked = title in best.columns
            cells = [
                each.cell(style, marks.at[row, title] if is_marked else "", is_marked and bool(best.at[row, title]))
                for row, each in enumerate(estimates)
            ]
        columns.append(Column(title, tuple(cells), group=group, keeps_interval=name in (AVERAGE, ALL_TASKS_COLUMN)))
    return columns


def result_names(table: TableInput) -> tuple[str, ...]:
    """Names of the columns of results."""
    if are_of_tasks(table.runs):
        return (*table.runs[0].description.tasks, ALL_TASKS_COLUMN)
    return (*(str(k) for k in range(1, table.runs[0].chain_length + 1)), AVERAGE)


def default_results(table: TableInput) -> tuple[tuple[str, int], ...]:
    """Names of the columns of results that a table has by itself, each with how optional it is."""
    names = result_names(table)
    is_middle = {name for name in names[1:-2] if not are_of_tasks(table.runs)}
    counts = []
    if len({summary.num_chains for summary in table.summaries}) > 1:
        counts.append(("n", _BEFORE_RATES))
    if any(summary.num_errors for summary in table.summaries):
        counts.append(("errors", _BEFORE_RATES))
    return (*((name, _MIDDLE if name in is_middle else 0) for name in names), *counts)


def attribute_column(methods: Sequence[Method], name: str) -> Column:
    """A column with an attribute of each method."""
    cells = tuple(Cell(method.attributes.get(name, NOT_THERE)) for method in methods)
    return Column(title_of(name), cells, is_text=True)


def title_of(name: str) -> str:
    """The header of a column."""
    return TITLES.get(name, name[0].upper() + name[1:])


def default_attributes(methods: Sequence[Method], has_published: bool = False) -> tuple[str, ...]:
    """Names of the attributes in which learned methods differ, and that their names do not already say."""
    learned = learned_methods(methods)
    differing = set(differing_attributes(learned)) if len(learned) > 1 else set()
    names = {name for name in differing - _NOT_BY_DEFAULT if not all(_is_said(method, name) for method in learned)} | (
        {"trained on"} if has_published else set()
    )
    return tuple(name for name in ATTRIBUTE_NAMES if name in names)


def learned_methods(methods: Sequence[Method]) -> list[Method]:
    """Methods that were trained."""
    return [method for method in methods if kind_of(method.runs[0].description.policy) not in NOT_TRAINED]


def _is_said(method: Method, name: str) -> bool:
    value = method.attributes.get(name)
    return value is not None and (f"no {name}" if value == "none" else value) in method.name


def _marks(table: TableInput, style: TableStyle):  # type: ignore[no-untyped-def]
    if style.significance == "letters":
        return letter_cells(table)
    alike = alike_cells(table)
    if style.significance == "none":
        return alike.map(lambda _: "")
    marks = alike.map(lambda is_alike: ALIKE_MARK if is_alike else "")
    return marks.mask(reference_cells(table), REFERENCE_MARK)


def _counts(table: TableInput, name: str) -> list[str]:
    if name == "errors":
        return [str(summary.num_errors) for summary in table.summaries]
    if name == "steps":
        return [str(method.runs[0].description.max_steps) for method in table.methods]
    return [
        f"{len(summary.method.runs)} x {summary.num_chains}" if summary.method.has_seeds else str(summary.num_chains)
        for summary in table.summaries
    ]


def _estimates(table: TableInput, name: str, precision: int) -> list[Estimate]:
    if name == AVERAGE:
        return [
            Estimate(summary.average_length.value, summary.average_length.interval, precision + 1)
            for summary in table.summaries
        ]
    if name == ALL_TASKS_COLUMN:
        return [percent(summary.success[0], precision) for summary in table.summaries]
    if name.isdigit():
        return [percent(summary.success[int(name) - 1], precision) for summary in table.summaries]
    return [_of_task(method, name, table, precision) for method in table.methods]


def _of_task(method: Method, task: str, table: TableInput, precision: int) -> Estimate:
    """Success of one task; training seeds are pooled."""
    records = [record for run in method.runs for record in run.records]
    found = statistics.task_success(records, intervals=table.intervals).get(task)
    if found is None:
        return Estimate(float("nan"), Interval(0.0, 100.0), precision)
    return percent(found, precision)
