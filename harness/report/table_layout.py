"""Where runs and numbers stand in a text table: a run a row, or, where there are many tasks, a run a column."""

from dataclasses import dataclass

import pandas as pd

from calvinbench.envs.chains import CHAIN_LENGTH

MAX_TASK_COLUMNS = CHAIN_LENGTH
"""A table of CALVIN's chains is as wide; of more tasks, each has a row."""


@dataclass(frozen=True, slots=True)
class TableLayout:
    """A table as it is shown.

    Attributes:
        cells: Its text.
        is_best: Which cells are in bold; shaped alike.
        num_means: How many of the rows are means over training seeds; they stand below the runs.
        num_published: How many are published; they stand at the end.
    """

    cells: pd.DataFrame
    is_best: pd.DataFrame
    num_means: int
    num_published: int

    @property
    def num_runs(self) -> int:
        """Rows above means and published ones."""
        return len(self.cells) - self.num_means - self.num_published


def lay_out(
    table: pd.DataFrame, is_best: pd.DataFrame, means: pd.DataFrame, published: pd.DataFrame, num_tasks: int
) -> TableLayout:
    """Puts a table's parts together; of more than `MAX_TASK_COLUMNS` tasks, with the runs as columns.

    Args:
        table: A row a run, the column `Method` first.
        is_best: Which of its cells are in bold.
        means: Rows of the same columns.
        published: Rows of the same columns.
        num_tasks: Tasks that were run each alone; 0 for chains.
    """
    cells = pd.concat([table, means, published], ignore_index=True)
    bold = is_best.reindex(index=cells.index, columns=cells.columns, fill_value=False)
    if num_tasks <= MAX_TASK_COLUMNS:
        return TableLayout(cells, bold, len(means), len(published))
    names = ["Method", *cells["Method"]]
    turned = cells.drop(columns="Method").T.reset_index().set_axis(names, axis="columns")
    marked = bold.drop(columns="Method").T.reset_index(drop=True).set_axis(names[1:], axis="columns")
    marked.insert(0, "Method", False)
    return TableLayout(turned, marked, 0, 0)
