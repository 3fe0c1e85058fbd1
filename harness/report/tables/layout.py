"""From methods to the columns of a table: one condition, or several side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from calvinbench.envs.chains import CHAIN_LENGTH
from calvinbench.envs.names import require_name
from calvinbench.harness.analysis.attributes import ATTRIBUTE_NAMES
from calvinbench.harness.analysis.comparable import require_one_length, require_published_fit
from calvinbench.harness.analysis.methods import Method
from calvinbench.harness.report.published_results import PUBLISHED_MARK, PublishedResult
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.report.tables.columns import (
    AVERAGE,
    attribute_column,
    default_attributes,
    default_results,
    result_columns,
    result_names,
    title_of,
)
from calvinbench.harness.report.tables.grid import NOT_THERE, Cell, Column, Grid
from calvinbench.harness.report.tables.style import TableStyle

MAX_TASK_COLUMNS = CHAIN_LENGTH
"""With more tasks, each task has a row."""
_ATTRIBUTE_IS_OPTIONAL = 1


@dataclass(frozen=True, slots=True)
class Condition:
    """Methods under one condition of the evaluation.

    Attributes:
        title: Such as `"scene D"`; empty if there is a single condition.
        table: The methods.
    """

    title: str
    table: TableInput


def grid_of(conditions: Sequence[Condition], style: TableStyle) -> Grid:
    """The table as text.

    Args:
        conditions: At least one. Methods of one name are one row.
        style: Columns, order and form of numbers.

    Raises:
        RunsDifferError: Chains have several lengths, or there are published rows for other chains.
        UnknownNameError: A column or a method in the order does not exist.
    """
    require_one_length([run for condition in conditions for run in condition.table.runs])
    first = conditions[0].table
    if first.published:
        require_published_fit(first.runs, any_scene=True)
    methods = _methods(conditions)
    order = row_order(conditions, style)
    names = _names(conditions, methods, style)
    columns = [Column("Method", tuple(Cell(method.marked_name) for method in methods), is_text=True)]
    for name, optional in names:
        if name in ATTRIBUTE_NAMES:
            columns.append(replace(attribute_column(methods, name), optional=optional))
        elif len(conditions) == 1:
            columns += _of_condition(conditions[0], methods, [(name, optional)], style)
    if len(conditions) > 1:
        for condition in conditions:
            known = (*result_names(condition.table), "n", "errors", "steps")
            columns += _of_condition(condition, methods, [each for each in names if each[0] in known], style)
    columns = [replace(column, cells=tuple(column.cells[place] for place in order)) for column in columns]
    grid = _with_published(Grid(tuple(columns)), first.published, style)
    if len(conditions) == 1 and len(first.runs[0].description.tasks) > MAX_TASK_COLUMNS and not first.published:
        return grid.transposed()
    return grid


def _of_condition(
    condition: Condition, methods: Sequence[Method], names: Sequence[tuple[str, int]], style: TableStyle
) -> list[Column]:
    """Columns of one condition; methods that it does not have get a dash."""
    made = result_columns(condition.table, style, [name for name, _ in names], condition.title)
    places = {method.name: place for place, method in enumerate(condition.table.methods)}
    return [
        replace(
            column,
            cells=tuple(
                column.cells[places[method.name]] if method.name in places else Cell(NOT_THERE) for method in methods
            ),
            optional=optional,
        )
        for column, (_, optional) in zip(made, names, strict=True)
    ]


def row_order(conditions: Sequence[Condition], style: TableStyle) -> list[int]:
    """Places of the methods in the order of their rows.

    Raises:
        UnknownNameError: A method in the order does not exist.
    """
    methods = _methods(conditions)
    if style.order is None:
        return list(range(len(methods)))
    if style.order == "success":
        averages: dict[str, float] = {}
        for condition in conditions:
            for summary in condition.table.summaries:
                averages.setdefault(summary.method.name, summary.average_length.value)
        return sorted(range(len(methods)), key=lambda place: -averages[methods[place].name])
    names = [method.name for method in methods]
    chosen = [
        names.index(require_name(name.removesuffix(" \u2020"), names, "method in the order:")) for name in style.order
    ]
    return [*dict.fromkeys(chosen), *(place for place in range(len(names)) if place not in chosen)]


def _methods(conditions: Sequence[Condition]) -> list[Method]:
    found: dict[str, Method] = {}
    for condition in conditions:
        for method in condition.table.methods:
            if method.name not in found or len(found[method.name].runs) < len(method.runs):
                found[method.name] = method
    return list(found.values())


def _names(conditions: Sequence[Condition], methods: Sequence[Method], style: TableStyle) -> list[tuple[str, int]]:
    """Names of the columns behind the method's, each with how optional it is."""
    table = conditions[0].table
    if style.columns is None:
        attributes = [(name, _ATTRIBUTE_IS_OPTIONAL) for name in default_attributes(methods, bool(table.published))]
        if len(conditions) == 1:
            return [*attributes, *default_results(table)]
        results = dict.fromkeys(result_names(each.table)[-1] for each in conditions)
        return [*attributes, *((name, 0) for name in results)]
    aliases = {"train": "trained on", "seeds": "training seed", "average": AVERAGE, "avg. len.": AVERAGE}
    known = dict.fromkeys(name for each in conditions for name in (*result_names(each.table), "n", "errors", "steps"))
    names = [aliases.get(name.lower(), name) for name in style.columns]
    for name in names:
        require_name(name, [*known, *ATTRIBUTE_NAMES], "column")
    return [(name, 0) for name in names]


def _with_published(grid: Grid, published: Sequence[PublishedResult], style: TableStyle) -> Grid:
    """The grid with published rows below the others; what a source does not print is a dash."""
    columns = [
        replace(column, cells=(*column.cells, *(_published_cell(result, column.title, style) for result in published)))
        for column in grid.columns
    ]
    return Grid(tuple(columns), len(published))


def _published_cell(result: PublishedResult, title: str, style: TableStyle) -> Cell:
    if title == "Method":
        steps = "" if result.max_steps is None else f", {result.max_steps} steps"
        hand = " (second-hand)" if result.is_second_hand else ""
        return Cell(f"{result.model}{steps} {PUBLISHED_MARK}{hand}")
    if title == title_of("trained on"):
        return Cell(result.split.partition("->")[0])
    if title == title_of(AVERAGE):
        return Cell(f"{result.average_length:.2f}")
    rate = result.success[int(title) - 1] if title.isdigit() and int(title) <= len(result.success) else None
    return Cell(NOT_THERE if rate is None else f"{100 * rate:.{min(style.precision, 1)}f}")
