"""The table object, and the function that makes it from runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from calvinbench.harness.analysis.comparable import require_comparable
from calvinbench.harness.analysis.comparison import compare_methods_if_possible
from calvinbench.harness.analysis.method_names import condition_remarks
from calvinbench.harness.analysis.methods import Seeds, methods_by_condition
from calvinbench.harness.analysis.statistics import Intervals
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.published_results import PublishedResult
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.report.table_notes import notes as long_notes_of
from calvinbench.harness.report.tables import captions, latex_table, renderers
from calvinbench.harness.report.tables.grid import Grid, IntervalStyle
from calvinbench.harness.report.tables.layout import Condition, grid_of, row_order
from calvinbench.harness.report.tables.number_tables import number_table
from calvinbench.harness.report.tables.style import Significance, TableStyle, as_columns, as_order


@dataclass(frozen=True, slots=True, repr=False)
class Table:
    """A table of methods, which shows itself in a notebook.

    Attributes:
        frame: The numbers: one row a method (and condition), rates from 0 to 1 with the ends of their intervals,
            average lengths, numbers of chains and errors, and the setting. Published rows are not in it.
        caption: What the table shows, and what is the same in all rows.
        notes: Short notes, a sentence each.
        long_notes: Paragraphs on protocol, intervals, tests and warnings.
        grid: The cells as text.
    """

    frame: pd.DataFrame
    caption: str
    notes: tuple[str, ...]
    long_notes: tuple[str, ...]
    grid: Grid

    def __repr__(self) -> str:
        return f"Table({len(self.frame)} rows; columns {', '.join(self.grid.titles)})"

    def markdown(self, has_long_notes: bool = False) -> str:
        """The table in Markdown with caption and notes below it."""
        below = self.long_notes if has_long_notes else self.notes
        return "\n".join([renderers.to_markdown(self.grid), *(f"{note}\n" for note in (self.caption, *below))])

    def latex(self, width_in: float = latex_table.TEXT_IN, label: str = "tab:calvin") -> str:
        r"""A LaTeX float with caption, table and notes; it needs the package booktabs.

        What does not fit becomes narrower: intervals go below their numbers, then attributes, intervals of rates and
        rates in the middle are left out. Columns that were asked for stay.

        Args:
            width_in: Inches that there are: 3.4 for a column of a paper, 7 for its text.
            label: For `\ref`.
        """
        return latex_table.to_latex(self.grid, self.caption, self.notes, width_in, label)

    def csv(self) -> str:
        """The numbers of `frame`."""
        return self.frame.to_csv(index=False)

    def terminal(self, width: int = 80, more: str = "", is_styled: bool = False) -> str:
        """Lines of at most `width` letters: the table, and one line of notes.

        Args:
            width: Letters of a line.
            more: Where there are more notes, such as `"More: report/table.md"`.
            is_styled: Whether the best numbers are bold, by control codes.
        """
        shown = renderers.to_terminal(self.grid, width, is_styled)
        return f"{shown}\n{captions.one_line((*self.notes, self.caption), more, width)}\n"

    def _repr_html_(self) -> str:
        """What IPython asks for."""
        return renderers.to_html(self.grid, self.caption, self.notes)


def table(
    runs: Sequence[Run],
    *,
    columns: str | Sequence[str] | None = None,
    order: str | Sequence[str] | None = None,
    intervals: IntervalStyle = "brackets",
    precision: int = 1,
    significance: Significance = "marks",
    labels: Mapping[str, str] | None = None,
    seeds: Seeds = "mean",
    reference: str | None = None,
    published: Sequence[PublishedResult] = (),
    kind_of_intervals: Intervals = "wilson",
    any_renderer: bool = False,
) -> Table:
    """A table of runs: a method a row. Several scenes or instruction sets stand side by side.

        from calvinbench.harness import find_runs, table
        table(find_runs("runs"), columns="1,5,avg", intervals="pm").latex(width_in=3.4)

    Args:
        runs: At least one run, all with chains of one length.
        columns: Such as `"1,5,avg"`, see `TableStyle`. None: the usual ones.
        order: Names of methods from the top, separated by commas or in a list, or `"success"`.
        intervals: How confidence intervals are shown.
        precision: Digits of percentages; average lengths have one more.
        significance: `"marks"`: what is not significantly different from the best of its column is marked. `"letters"`:
            methods that are not significantly different share a letter. `"none"`: neither.
        labels: New names by old ones, see `methods`.
        seeds: Whether training seeds of one recipe are one row.
        reference: Compare each method with this one only.
        published: Published rows below the methods, see `published_results`.
        kind_of_intervals: Wilson's (`"wilson"`) or Clopper-Pearson's (`"exact"`) intervals of rates.
        any_renderer: Whether runs of different renderers may be in one table.

    Raises:
        ValueError: There is no run, or an argument is not allowed.
        UnknownNameError: A column, a method or the reference does not exist.
        RunsDifferError: Runs of one scene and instruction set are not of the same chains and steps.
    """
    style = TableStyle(as_columns(columns), as_order(order), intervals, precision, significance)
    found = conditions_of(runs, labels, seeds, reference, published, kind_of_intervals, any_renderer)
    return table_of(found, style)


def conditions_of(
    runs: Sequence[Run],
    labels: Mapping[str, str] | None = None,
    seeds: Seeds = "mean",
    reference: str | None = None,
    published: Sequence[PublishedResult] = (),
    kind_of_intervals: Intervals = "wilson",
    any_renderer: bool = False,
) -> tuple[Condition, ...]:
    """The methods by condition, compared; see `table`."""
    if not runs:
        raise ValueError("expected at least one run for a table, got none.")
    by_condition = methods_by_condition(runs, labels, seeds)
    titles = condition_remarks([[run for method in found for run in method.runs] for found in by_condition])
    conditions = []
    for title, found in zip(titles, by_condition, strict=True):
        members = [run for method in found for run in method.runs]
        require_comparable(members, any_renderer)
        comparison = compare_methods_if_possible(found, reference)
        below = published if len(by_condition) == 1 else ()
        conditions.append(Condition(title, TableInput.of(found, below, comparison, kind_of_intervals)))
    return tuple(conditions)


def table_of(conditions: Sequence[Condition], style: TableStyle | None = None) -> Table:
    """The table of methods whose numbers are known.

    Args:
        conditions: At least one.
        style: Columns, order and form of numbers; None for the usual ones.
    """
    style = style or TableStyle()
    order = row_order(conditions, style)
    frames = []
    for condition in conditions:
        frame = number_table(condition.table)
        frames.append(frame if len(conditions) == 1 else frame.assign(condition=condition.title))
    whole = frames[0].iloc[order].reset_index(drop=True) if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    long = [
        f"{condition.title}: {note}" if condition.title else note
        for condition in conditions
        for note in long_notes_of(condition.table)
    ]
    return Table(
        whole,
        captions.caption(conditions, style),
        captions.short_notes(conditions, style),
        tuple(long),
        grid_of(conditions, style),
    )
