"""Runs as a table: numbers for programs, and text for Markdown, LaTeX and CSV."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from calvinbench.envs.chain_env import SOLVED
from calvinbench.harness.analysis import statistics
from calvinbench.harness.analysis.comparable import are_of_tasks, require_one_length, require_published_fit
from calvinbench.harness.analysis.statistics import Interval, Mean, Proportion
from calvinbench.harness.report.best_cells import alike_cells, best_cells
from calvinbench.harness.report.latex import notes_below, with_symbols
from calvinbench.harness.report.published_results import PUBLISHED_MARK, PublishedResult
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.report.table_layout import TableLayout, lay_out
from calvinbench.harness.report.table_notes import ALIKE_MARK, notes

NOT_THERE = "-"
"""In the place of a number that there is none of."""
_MAX_WORD = 24
"""Letters of a word that a terminal's table keeps on one line; a path may be longer."""


def number_table(table: TableInput) -> pd.DataFrame:
    """One row a run, with rates from 0 to 1 and the ends of their intervals in columns of their own; for programs.

    Rates have Clopper-Pearson's interval too (`_exact`), average lengths one over initial states (`_clustered`).
    """
    rows = []
    for summary, label in zip(table.summaries, table.labels, strict=True):
        description = summary.run.description
        row: dict[str, str | int | float | bool | None] = {
            "Method": label,
            "Train": description.train,
            "policy": description.policy,
            "privileged": description.privileged,
        }
        for k, rate in enumerate(summary.success, start=1):
            exact = statistics.clopper_pearson(rate.num_successes, rate.num_trials)
            row |= {str(k): rate.rate, f"{k}_low": rate.interval.low, f"{k}_high": rate.interval.high}
            row |= {f"{k}_exact_low": exact.low, f"{k}_exact_high": exact.high}
        length = summary.average_length
        row |= {"Avg. Len.": length.value, "Avg. Len._low": length.interval.low, "Avg. Len._high": length.interval.high}
        of_states = summary.clustered.interval
        row |= {"Avg. Len._clustered_low": of_states.low, "Avg. Len._clustered_high": of_states.high}
        row |= {"n": len(summary.run.records), "errors": summary.run.num_errored, "steps": description.max_steps}
        row |= {"scene": description.scene, "instructions": description.instructions, "seed": description.seed}
        row |= {"memory_reset": description.memory.reset, "official": str(description.official)}
        row |= {"directory": summary.run.directory.as_posix()}
        rows.append(row)
    return pd.DataFrame(rows)


def text_table(table: TableInput) -> pd.DataFrame:
    """`Method | Train | 1 | ... | 5 | Avg. Len. | n | errors | steps` as text: percent and lengths with intervals.

    Of chains of another length there are as many columns as they have subtasks; a dash stands for what is not there.

    Of runs of each task alone: `Method | Train | one column a task | all | n | errors | steps`; `table_layout` says
    how many tasks are shown.
    """
    if are_of_tasks(table.runs):
        return _text_table_of_tasks(table)
    rows = []
    for summary, label in zip(table.summaries, table.labels, strict=True):
        description = summary.run.description
        rows.append(
            {"Method": label, "Train": description.train or "-"}
            | {str(k): _percent(rate) for k, rate in enumerate(summary.success, start=1)}
            | {"Avg. Len.": _length(summary.average_length)}
            | {"n": str(len(summary.run.records)), "errors": str(summary.run.num_errored)}
            | {"steps": str(description.max_steps)}
        )
    return pd.DataFrame(rows)


def _text_table_of_tasks(table: TableInput) -> pd.DataFrame:
    rows, intervals = [], table.intervals
    for run, label in table.labelled():
        by_task = statistics.task_success(run.records, intervals=intervals)
        whole = statistics.proportion(int((run.completed > 0).sum()), len(run.records), intervals=intervals)
        rows.append(
            {"Method": label, "Train": run.description.train or "-"}
            | {task: _percent(by_task[task]) if task in by_task else "-" for task in run.description.tasks}
            | {"all": _percent(whole), "n": str(len(run.records)), "errors": str(run.num_errored)}
            | {"steps": str(run.description.max_steps)}
        )
    return pd.DataFrame(rows)


def _percent(rate: Proportion | Mean) -> str:
    value = rate.rate if isinstance(rate, Proportion) else rate.value
    if math.isnan(value):  # of no chain
        return NOT_THERE
    return f"{100 * value:.1f} {_interval(rate.interval, scale=100.0, digits=1)}"


def _length(mean: Mean) -> str:
    if math.isnan(mean.value):
        return NOT_THERE
    return f"{mean.value:.2f} {_interval(mean.interval, scale=1.0, digits=2)}"


def _interval(interval: Interval, scale: float, digits: int) -> str:
    return f"[{scale * interval.low:.{digits}f}, {scale * interval.high:.{digits}f}]"


def is_best(table: TableInput) -> pd.DataFrame:
    """Which cells of `text_table` are the best of their column; see `best_cells`."""
    return best_cells(table).reindex(columns=text_table(table).columns, fill_value=False)


def marked_table(table: TableInput) -> pd.DataFrame:
    """`text_table`, with a mark on what is not told from the best of its column."""
    marked, alike = text_table(table), alike_cells(table)
    for column in alike.columns:
        if alike[column].any():
            cells = marked[column]
            marked[column] = cells.where(~alike[column], cells.str.replace(" [", f" {ALIKE_MARK} [", regex=False))
    return marked


def layout_of(table: TableInput, left_out: Sequence[str] = ()) -> TableLayout:
    """The table as it is shown.

    Args:
        table: The runs.
        left_out: Columns of `text_table` that are not wanted.

    Raises:
        RunsDifferError: The runs' chains are of unlike lengths, or there are published rows, whose chains are others.
    """
    require_one_length(table.runs)
    if table.published:
        require_published_fit(table.runs, any_scene=True)
    cells, best = (part.drop(columns=list(left_out)) for part in (marked_table(table), is_best(table)))
    below = seed_rows(table, cells.columns), published_rows(table.published, cells.columns)
    return lay_out(cells, best, *below, num_tasks=len(table.runs[0].description.tasks))


def to_markdown(table: TableInput) -> str:
    """The table in Markdown with the notes below it.

    The best is in bold, what is not told from it is marked; means over training seeds stand below the runs, published
    rows below all.
    """
    layout = layout_of(table)
    bold = layout.cells.where(~layout.is_best, "**" + layout.cells + "**")
    whole = bold.map(_without_bars).rename(columns=_without_bars)
    text = str(whole.to_markdown(index=False, disable_numparse=True))
    return "\n".join([text, "", *(f"{note}\n" for note in notes(table))]).rstrip() + "\n"


def _without_bars(cell: str) -> str:
    return cell.replace("|", "\\|")


def seed_rows(table: TableInput, columns: Iterable[str]) -> pd.DataFrame:
    """Means over training seeds as rows of `text_table`."""
    names, rows = list(columns), []
    for group in table.seed_means:
        first, count = group.runs[0].description, len(group.runs)
        rates = {str(k): _percent(mean) for k, mean in enumerate(group.success, start=1)}
        values = {"all": rates["1"]} if first.tasks else rates | {"Avg. Len.": _length(group.average_length)}
        said = {"Method": f"{group.label}, mean of {count} training seeds", "Train": first.train or "-"} | values
        said |= {"n": f"{count} x {group.num_chains}", "steps": str(first.max_steps)}
        said |= {"errors": str(sum(run.num_errored for run in group.runs))}
        rows.append(dict.fromkeys(names, "-") | said)
    return pd.DataFrame(rows, columns=names)


def published_rows(published: Sequence[PublishedResult], columns: Iterable[str]) -> pd.DataFrame:
    """Published results as rows of `text_table`, marked; what their source does not print is a dash."""
    names, rows = list(columns), []
    for result in published:
        rates = {str(k): "-" if rate is None else f"{100 * rate:.1f}" for k, rate in enumerate(result.success, start=1)}
        mark = f"{PUBLISHED_MARK} (second-hand)" if result.is_second_hand else PUBLISHED_MARK
        steps = "" if result.max_steps is None else f", {result.max_steps} steps"
        said = {"Method": f"{result.model}{steps} {mark}", "Train": result.split.partition("->")[0]} | rates
        rows.append(dict.fromkeys(names, "-") | said | {"Avg. Len.": f"{result.average_length:.2f}"})
    return pd.DataFrame(rows, columns=names)


def show(table: TableInput, console: Console | None = None) -> None:
    """Prints the table on standard output: fitted to its width on a terminal, in Markdown elsewhere.

    Args:
        table: The runs.
        console: Where to print; None for standard output.
    """
    console = console or Console()
    if not console.is_terminal:
        console.file.write(f"{to_markdown(table)}\n")
        return
    texts = text_table(table)
    # What every row leaves open, and what the notes say, would only take room.
    idle = ["steps", *(name for name in texts.columns if (texts[name] == "-").all())]
    layout = layout_of(table, idle)
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in layout.cells.columns:
        shown.add_column(name, overflow="fold", min_width=_longest_word([name, *layout.cells[name]]))
    for number, (cells, bolds) in enumerate(zip(layout.cells.to_numpy(), layout.is_best.to_numpy(), strict=True)):
        if layout.num_published and number == len(layout.cells) - layout.num_published:
            shown.add_section()
        lines = [cell.replace(" [", "\n[") for cell in cells]
        shown.add_row(*(Text(line, style="bold" if bold else "") for line, bold in zip(lines, bolds, strict=True)))
    console.print(shown, crop=False)
    for note in notes(table):
        console.print(Text(note), end="\n\n")


def _longest_word(cells: Iterable[str]) -> int:
    """Width of a column in which no word is broken; of a word as long as a path, only so much."""
    return min(_MAX_WORD, max(len(word) for cell in cells for word in cell.split()))


def to_latex(table: TableInput) -> str:
    """The table in LaTeX, for the package booktabs, published rows below a rule, the notes below the table."""
    layout = layout_of(table)
    styler = layout.cells.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    styler = styler.apply(lambda _: layout.is_best.map(lambda bold: "textbf:--rwrap;" if bold else ""), axis=None)
    num_left = list(layout.cells.columns).index("Train") + 1 if "Train" in layout.cells else 1
    columns = "l" * num_left + "c" * (len(layout.cells.columns) - num_left)
    text = with_symbols(str(styler.to_latex(hrules=True, column_format=columns)))
    text = text.replace("\n[", "\n{[}")  # \\\\ would take [...] for its argument
    if layout.num_published:
        lines = text.splitlines()
        lines.insert(lines.index("\\bottomrule") - layout.num_published, "\\midrule")
        text = "\n".join(lines) + "\n"
    return f"% needs \\usepackage{{booktabs}}\n{text}{notes_below(notes(table))}"


def conditional_table(table: TableInput) -> pd.DataFrame:
    """One row for each run and position in the chain: solved of those reached, where all before were solved."""
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
    """One row for each run, task and position at which chains ended unsolved: how many."""
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
    """One row for each run and task that it reached: solved, reached, the rate, its interval and how that is made."""
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
