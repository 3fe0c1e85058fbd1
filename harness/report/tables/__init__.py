"""Tables of methods: `table` makes one from runs, in Markdown, LaTeX, HTML, CSV, or for a terminal.

Read in this order: `grid` (cells as text), `style` (what a user chooses), `columns`, `layout`, `captions`, `fitting`
(narrower forms), `renderers`, `latex_table`, `table_object`, `number_tables` (for programs).
"""

from collections.abc import Sequence

from rich.console import Console

from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.report.tables.captions import one_line
from calvinbench.harness.report.tables.grid import NOT_THERE, Grid
from calvinbench.harness.report.tables.layout import Condition
from calvinbench.harness.report.tables.number_tables import (
    conditional_table,
    first_failure_table,
    number_table,
    run_table,
    task_table,
)
from calvinbench.harness.report.tables.renderers import to_markdown, to_terminal
from calvinbench.harness.report.tables.style import TableStyle
from calvinbench.harness.report.tables.table_object import Table, conditions_of, table, table_of

__all__ = [
    "NOT_THERE",
    "Condition",
    "Table",
    "TableStyle",
    "conditional_table",
    "conditions_of",
    "first_failure_table",
    "number_table",
    "of_input",
    "run_table",
    "show",
    "show_grid",
    "show_table",
    "table",
    "table_of",
    "task_table",
]


def of_input(data: TableInput, style: TableStyle | None = None) -> Table:
    """The table of methods of one condition."""
    return table_of([Condition("", data)], style)


def show(data: TableInput, console: Console | None = None, more: str = "") -> None:
    """Prints the table of methods of one condition; see `show_table`."""
    show_table(of_input(data), console, more)


def show_table(shown: Table, console: Console | None = None, more: str = "") -> None:
    """Prints a table and one line of notes: fitted to the width of a terminal, in Markdown elsewhere.

    Args:
        shown: The table.
        console: Where to print; None for standard output.
        more: Where there are more notes.
    """
    show_grid(shown.grid, (*shown.notes, shown.caption), console, more)


def show_grid(grid: Grid, notes: Sequence[str], console: Console | None = None, more: str = "") -> None:
    """Prints a grid as `show_table` does."""
    console = console or Console()
    if console.is_terminal:
        text = to_terminal(grid, console.width, console.color_system is not None)
        line = one_line(notes, more, console.width)
    else:
        text, line = to_markdown(grid), one_line(notes, more, None)
    console.file.write(f"{text}\n{line}\n")
