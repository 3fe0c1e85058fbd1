"""Runs as a table: numbers for programs, and text for Markdown, LaTeX and CSV."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from calvinbench.envs.scene import EMBEDDED
from calvinbench.harness import statistics
from calvinbench.harness.labels import PRIVILEGED_MARK, labels
from calvinbench.harness.published_results import PUBLISHED_MARK, PublishedResult
from calvinbench.harness.records import NUM_SUBTASKS
from calvinbench.harness.runs import Run
from calvinbench.harness.statistics import Interval, Mean, Proportion

MAX_ERRORED_SHARE = 0.01
"""Above this share of errored chains no verdict is given."""
_BOOTSTRAP_SEED = 0
"""Tables of the same records are the same."""
_BEST_COLUMNS = (*(str(k) for k in range(1, NUM_SUBTASKS + 1)), "Avg. Len.")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a table says of a run.

    Attributes:
        run: The run.
        success: Rates of completing at least 1..5 subtasks.
        average_length: Mean number of subtasks completed.
    """

    run: Run
    success: tuple[Proportion, ...]
    average_length: Mean


def has_too_many_errors(run: Run) -> bool:
    """Whether more than 1% of the chains errored."""
    return run.num_errored > MAX_ERRORED_SHARE * len(run.records)


def summarize(run: Run) -> Summary:
    """Counts a run's chains and puts intervals around the counts."""
    generator = np.random.default_rng(_BOOTSTRAP_SEED)
    return Summary(run, statistics.success_rates(run.completed), statistics.average_length(run.completed, generator))


def number_table(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run, with rates from 0 to 1 and the ends of their intervals in columns of their own; for programs."""
    rows = []
    for summary, label in zip(map(summarize, runs), labels(runs), strict=True):
        description = summary.run.description
        row: dict[str, str | int | float | bool | None] = {
            "Method": label,
            "Train": description.train,
            "policy": description.policy,
            "privileged": description.privileged,
        }
        for k, rate in enumerate(summary.success, start=1):
            row |= {str(k): rate.rate, f"{k}_low": rate.interval.low, f"{k}_high": rate.interval.high}
        length = summary.average_length
        row |= {"Avg. Len.": length.value, "Avg. Len._low": length.interval.low, "Avg. Len._high": length.interval.high}
        row |= {"n": len(summary.run.records), "errors": summary.run.num_errored, "steps": description.max_steps}
        row |= {"scene": description.scene, "instructions": description.instructions, "seed": description.seed}
        row |= {"memory_reset": description.memory.reset, "directory": summary.run.directory.as_posix()}
        rows.append(row)
    return pd.DataFrame(rows)


def text_table(runs: Sequence[Run]) -> pd.DataFrame:
    """`Method | Train | 1 | ... | 5 | Avg. Len. | n | errors | steps` as text: percent and lengths with intervals.

    Of runs of each task alone: `Method | Train | one column a task | all | n | errors | steps`.
    """
    if are_of_tasks(runs):
        return _text_table_of_tasks(runs)
    rows = []
    for summary, label in zip(map(summarize, runs), labels(runs), strict=True):
        description = summary.run.description
        rows.append(
            {"Method": label, "Train": description.train or "-"}
            | {str(k): _percent(rate) for k, rate in enumerate(summary.success, start=1)}
            | {"Avg. Len.": _length(summary.average_length)}
            | {"n": str(len(summary.run.records)), "errors": str(summary.run.num_errored)}
            | {"steps": str(description.max_steps)}
        )
    return pd.DataFrame(rows)


def are_of_tasks(runs: Sequence[Run]) -> bool:
    """Whether these are runs of each task alone, not of chains."""
    return bool(runs[0].description.tasks)


def _text_table_of_tasks(runs: Sequence[Run]) -> pd.DataFrame:
    rows = []
    for run, label in zip(runs, labels(runs), strict=True):
        by_task = statistics.task_success(run.records)
        whole = statistics.proportion(int((run.completed > 0).sum()), len(run.records))
        rows.append(
            {"Method": label, "Train": run.description.train or "-"}
            | {task: _percent(by_task[task]) if task in by_task else "-" for task in run.description.tasks}
            | {"all": _percent(whole), "n": str(len(run.records)), "errors": str(run.num_errored)}
            | {"steps": str(run.description.max_steps)}
        )
    return pd.DataFrame(rows)


def _percent(rate: Proportion) -> str:
    return f"{100 * rate.rate:.1f} {_interval(rate.interval, scale=100.0, digits=1)}"


def _length(mean: Mean) -> str:
    return f"{mean.value:.2f} {_interval(mean.interval, scale=1.0, digits=2)}"


def _interval(interval: Interval, scale: float, digits: int) -> str:
    return f"[{scale * interval.low:.{digits}f}, {scale * interval.high:.{digits}f}]"


def _is_sound(run: Run) -> bool:
    """Whether all chains are there and hardly any errored, so that a verdict may be given."""
    return run.num_missing == 0 and not has_too_many_errors(run)


def is_best(runs: Sequence[Run]) -> pd.DataFrame:
    """Which cells of `text_table` are the best of their column, among sound runs of policies that are not privileged.

    Nothing is the best where there is nothing to compare it with, or where it is zero.
    """
    if are_of_tasks(runs):
        table = text_table(runs)
        return pd.DataFrame(False, index=table.index, columns=table.columns)
    numbers = number_table(runs)
    best = pd.DataFrame(False, index=numbers.index, columns=text_table(runs).columns)
    fair = ~numbers["privileged"].astype(bool) & np.array([_is_sound(run) for run in runs])
    if fair.sum() > 1:
        for column in _BEST_COLUMNS:
            highest = numbers.loc[fair, column].max()
            best[column] = fair & (numbers[column] == highest) & (highest > 0)
    return best


def to_markdown(runs: Sequence[Run], published: Sequence[PublishedResult] = ()) -> str:
    """The table in Markdown, the best in bold, with the notes below it; published rows stand below all others."""
    table = text_table(runs)
    bold = table.where(~is_best(runs), "**" + table + "**")
    below = published_rows(published, table.columns)
    whole = pd.concat([bold, below]).map(lambda cell: cell.replace("|", "\\|"))
    text = str(whole.to_markdown(index=False, disable_numparse=True))
    return "\n".join([text, "", *(f"{note}\n" for note in notes(runs, published))]).rstrip() + "\n"


def published_rows(published: Sequence[PublishedResult], columns: Iterable[str]) -> pd.DataFrame:
    """Published results as rows of `text_table`, marked; what their source does not print is a dash."""
    names, rows = list(columns), []
    for result in published:
        rates = {str(k): "-" if rate is None else f"{100 * rate:.1f}" for k, rate in enumerate(result.success, start=1)}
        mark = f"{PUBLISHED_MARK} (second-hand)" if result.is_second_hand else PUBLISHED_MARK
        said = {"Method": f"{result.model} {mark}", "Train": result.split.partition("->")[0]} | rates
        rows.append(dict.fromkeys(names, "-") | said | {"Avg. Len.": f"{result.average_length:.2f}"})
    return pd.DataFrame(rows, columns=names)


def show(runs: Sequence[Run], console: Console | None = None, published: Sequence[PublishedResult] = ()) -> None:
    """Prints the table on standard output: fitted to its width on a terminal, in Markdown elsewhere."""
    console = console or Console()
    if not console.is_terminal:
        console.file.write(f"{to_markdown(runs, published)}\n")
        return
    table, best = text_table(runs), is_best(runs)
    # What every row leaves open, and what the notes say, would only take room.
    idle = ["steps", *(name for name in table.columns if (table[name] == "-").all())]
    below = published_rows(published, table.columns).drop(columns=idle)
    table = table.drop(columns=idle)
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in table.columns:
        shown.add_column(name, overflow="fold")
    for cells, is_bold in zip(table.to_numpy(), best[table.columns].to_numpy(), strict=True):
        lines = [cell.replace(" [", "\n[") for cell in cells]
        shown.add_row(*(Text(line, style="bold" if bold else "") for line, bold in zip(lines, is_bold, strict=True)))
    if published:
        shown.add_section()
    for cells in below.to_numpy():
        shown.add_row(*cells)
    console.print(shown)
    for note in notes(runs, published):
        console.print(Text(note), end="\n\n")


def to_latex(runs: Sequence[Run], published: Sequence[PublishedResult] = ()) -> str:
    """The table in LaTeX, for the package booktabs, the notes as comments above it, published rows below a rule."""
    table = text_table(runs)
    below = published_rows(published, table.columns)
    best = pd.concat([is_best(runs), below.map(lambda _: False).astype(bool)], ignore_index=True)
    table = pd.concat([table, below], ignore_index=True)
    styler = table.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    styler = styler.apply(lambda _: best.map(lambda bold: "textbf:--rwrap;" if bold else ""), axis=None)
    text = str(styler.to_latex(hrules=True, column_format="ll" + "c" * (len(table.columns) - 2)))
    text = text.replace(PRIVILEGED_MARK, "$^{\\dagger}$").replace(PUBLISHED_MARK, "$^{\\ddagger}$")
    text = text.replace("\n[", "\n{[}")  # \\\\ would take [...] for its argument
    comments = [f"% {line}" for note in notes(runs, published) for line in note.splitlines()]
    if published:
        lines = text.splitlines()
        lines.insert(lines.index("\\midrule") + len(runs) + 1, "\\midrule")
        text = "\n".join(lines) + "\n"
    return "\n".join(["% needs \\usepackage{booktabs}", *comments, text])


def task_table(runs: Sequence[Run]) -> pd.DataFrame:
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
            for run, label in zip(runs, labels(runs), strict=True)
            for task, rate in statistics.task_success(run.records).items()
        ]
    )


def notes(runs: Sequence[Run], published: Sequence[PublishedResult] = ()) -> list[str]:
    """What must be said under a table: protocol, size, and whatever calls for caution."""
    first = runs[0].description
    lines = [_official_note(runs)]
    lines.append(
        f"Each of {len(first.tasks)} tasks alone, {first.chains} starts in all, from the evaluation's initial states, "
        "or from where the expert leads from them where none allows the task; "
        f"{first.max_steps} steps, scene {first.scene}, instruction set {first.instructions}. Percent solved; in "
        "brackets: 95% intervals, each for itself."
        if are_of_tasks(runs)
        else f"{first.chains} chains of {NUM_SUBTASKS} subtasks, {first.max_steps} steps a subtask, scene "
        f"{first.scene}, instruction set {first.instructions}. Columns 1 to 5: percent of chains with at least so many "
        "subtasks completed in a row. In brackets: 95% intervals, each for itself."
    )
    if first.scene == EMBEDDED:
        lines.append(
            "The embedded scene is calvinbench's own, not one of CALVIN's: these figures are not comparable with "
            "published ones."
        )
    if any(run.description.privileged for run in runs):
        lines.append(
            f"{PRIVILEGED_MARK} reads the world's privileged state, which learned policies never see; never in bold."
        )
    named = list(zip(runs, labels(runs), strict=True))
    untrained = [label for run, label in named if run.description.is_untrained]
    if untrained:
        lines.append(
            f"Warning: untrained, with random weights: {', '.join(untrained)}. Such a policy scores near zero; "
            "it shows the machinery, not what the architecture can do."
        )
    for run, label in named:
        if run.description.unlike_training:
            lines.append(f"Note: {label} was trained on another world: {'; '.join(run.description.unlike_training)}.")
        if run.num_missing:
            lines.append(f"Warning: {label} is not complete: {len(run.records)} of {run.description.chains} chains.")
        if has_too_many_errors(run):
            lines.append(
                f"Warning: {run.num_errored} of {len(run.records)} chains of {label} errored (more than 1%): they "
                "count as failures, and no verdict is given. `error` in chains.jsonl says why."
            )
    if published:
        sources = "; ".join(dict.fromkeys(result.source for result in published))
        are_official = all(run.description.official.official for run in runs)
        lines.append(
            f"{PUBLISHED_MARK} published, not run here: as printed by {sources}. Cameras, data and chains are those of "
            "the source"
            + ("." if are_official else "; the runs above are not official, and not comparable with them one to one.")
        )
    return lines


def _official_note(runs: Sequence[Run]) -> str:
    """One line; reasons that are not common to all runs are said by run."""
    verdicts = [run.description.official for run in runs]
    if all(verdict.official for verdict in verdicts):
        return "Official: yes."
    common = [reason for reason in verdicts[0].because if all(reason in verdict.because for verdict in verdicts)]
    parts = list(common)
    for label, verdict in zip(labels(runs), verdicts, strict=True):
        own = [reason for reason in verdict.because if reason not in common]
        if own:
            parts.append(f"{label}: {', '.join(own)}")
    return f"Official: no, because {'; '.join(parts)}."
