"""Where chains end: by task, and by its place in the chain."""

from collections import Counter

import numpy as np
from matplotlib.axes import Axes

from calvinbench.envs.chain_env import SOLVED
from calvinbench.envs.tasks import TASKS
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.plots.style import axes


def first_failures(run: Run, ax: Axes | None = None) -> Axes:
    """How many chains ended at each task, by its place in the chain; returns the axes drawn into.

    A chain ends with its first failure, so that every chain that was not solved counts once.

    Args:
        run: One run.
        ax: Where to draw; None for a new figure, as high as the tasks need.
    """
    counts = Counter(
        (record.subtasks[-1].task, len(record.subtasks)) for record in run.records if record.outcome != SOLVED
    )
    names = sorted({task for task, _ in counts}, key=lambda task: (-_total(counts, task), _place(task)))
    places = range(1, run.chain_length + 1)
    table = np.array([[counts[task, place] for place in places] for task in names])
    with axes(ax, height_in=0.7 + 0.16 * max(len(names), 3)) as ax:  # noqa: PLR1704
        if names:
            ax.imshow(table, cmap="Greys", aspect="auto", vmin=0, vmax=max(1.0, 1.3 * float(table.max())))
        for row, column in zip(*np.nonzero(table), strict=True) if names else ():
            dark = table[row, column] > 0.65 * table.max()
            ax.text(column, row, str(table[row, column]), ha="center", va="center", color="white" if dark else "black")
        ax.set_xticks(range(len(places)), [str(place) for place in places])
        ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        ax.set_xlim(-0.5, len(places) - 0.5)
        ax.set_xlabel("subtask at which the chain ended")
        return ax


def _place(task: str) -> int:
    """A task's place among CALVIN's; tasks of a user's own stand behind them."""
    return TASKS.index(task) if task in TASKS else len(TASKS)


def _total(counts: Counter[tuple[str, int]], task: str) -> int:
    return sum(count for (name, _), count in counts.items() if name == task)
