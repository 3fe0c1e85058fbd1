"""From run directories to a report: tables and figures in a folder."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd

from calvinbench.envs.chain_env import SOLVED
from calvinbench.harness.analysis.comparable import (
    Group,
    RunsDifferError,
    are_of_tasks,
    groups,
    require_comparable,
    require_published_fit,
)
from calvinbench.harness.analysis.comparison import Comparison, compare_methods_if_possible
from calvinbench.harness.analysis.methods import Seeds, methods_by_condition
from calvinbench.harness.analysis.smoothness import (
    SMOOTHNESS_NOTE,
    run_differences,
    smoothness_in_words,
    smoothness_table,
)
from calvinbench.harness.analysis.speed import SPEED_NOTE, speed, speed_in_words, speed_table
from calvinbench.harness.analysis.statistics import Intervals
from calvinbench.harness.analysis.training_seeds import seed_table
from calvinbench.harness.records.folders import make_folder, write_text_atomically
from calvinbench.harness.records.runs import Run, find_runs
from calvinbench.harness.report import plots, tables
from calvinbench.harness.report.comparison_words import in_words
from calvinbench.harness.report.html.page import contents_of, write_overview, write_page
from calvinbench.harness.report.html.pictures import Drawn
from calvinbench.harness.report.published_results import PublishedResult
from calvinbench.harness.report.report_contents import ReportContents
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.report.tables import Condition, Table, TableStyle
from calvinbench.harness.report.tables.latex_table import COLUMN_IN, TEXT_IN

REPORT_FOLDER = "report"
PAGE = "index.html"
_CONDITIONS = "conditions"
_MOST_TOGETHER, _SHORT_NAME = 6, 16
"""Methods that one pair of axes shows well, and letters of a name that fits over a panel of a narrow figure. Figures of
more methods with longer names are twice as wide."""


@dataclass(frozen=True, slots=True)
class Part:
    """Methods under one condition.

    Attributes:
        title: What distinguishes the condition from those of other parts; empty if there is one part.
        table: The methods, their comparison and published rows.
    """

    title: str
    table: TableInput

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs."""
        return self.table.runs

    @property
    def comparison(self) -> Comparison | None:
        """The comparison of the methods; None if there is nothing to compare."""
        return self.table.comparison

    @property
    def folder(self) -> str:
        """The title as a folder's name."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.title).strip("-.")

    @property
    def markdown(self) -> str:
        """The table in its usual form, with caption and all notes."""
        return self.styled(None).markdown(has_long_notes=True)

    def styled(self, style: TableStyle | None) -> Table:
        """The table; columns of other parts are left out."""
        return tables.of_input(self.table, style)


@dataclass(frozen=True, slots=True)
class Report:
    """What was written.

    Attributes:
        directory: The report's folder.
        files: All files in it.
        parts: The methods, by condition.
        table: The table of all parts, conditions side by side.
    """

    directory: Path
    files: tuple[Path, ...]
    parts: tuple[Part, ...]
    table: Table

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs."""
        return tuple(run for part in self.parts for run in part.runs)

    @property
    def markdown(self) -> str:
        """The text of `table.md`."""
        return (self.directory / "table.md").read_text("utf-8")


def write_report(
    paths: Sequence[str | Path],
    out: Path | None = None,
    any_renderer: bool = False,
    published: Sequence[PublishedResult] = (),
    intervals: Intervals = "wilson",
    reference: str | None = None,
    formats: Sequence[str] = plots.FORMATS,
    has_page: bool = True,
    labels: Mapping[str, str] | None = None,
    seeds: Seeds = "mean",
    style: TableStyle | None = None,
) -> Report:
    """Writes tables and figures of runs.

    Runs of several scenes or instruction sets are not compared with each other. Each condition has a folder with a
    table and figures; the folder above has a table of all methods with the conditions side by side.

    Args:
        paths: Runs' folders, or folders that hold several.
        out: The report's folder; None for `report/` in the folder that holds all of them.
        any_renderer: Whether runs with different images may be in one table.
        published: Published rows to be shown below the runs on CALVIN's own scene.
        intervals: The kind of confidence interval around rates of single runs, in tables and figures.
        reference: The method that each other is compared with, see `comparison.compare`.
        formats: File formats of the figures, some of `plots.FORMATS`; without any, no figure is saved.
        has_page: Whether `index.html` is written.
        labels: New names of methods by old ones, see `methods`.
        seeds: Whether training seeds of one recipe are one method.
        style: Columns, order and form of numbers in tables; None for the usual ones.

    Raises:
        ValueError: A format, a name or a column is unknown, there is no run in a folder, or nothing but the root holds
            all of them and `out` is None.
        RunsDifferError: Runs of one scene and instruction set are not of the same chains, steps and renderer, or
            published rows are wanted and no run is of CALVIN's chains on its scene D.
        OSError: The report cannot be written.
    """
    runs = find_runs(*paths)
    parts = gather(runs, any_renderer, published, intervals, reference, labels, seeds)
    joint = joint_table(parts, style)
    directory = out or report_folder(paths)
    make_folder(directory)
    contents_kept = ReportContents.of(
        runs, directory, any_renderer, published, intervals, reference, labels, seeds, style
    )
    if len(parts) == 1:
        written = _write_part(parts[0], directory, formats, has_page, style)
        return Report(directory, (*written, contents_kept.write(directory)), parts, joint)
    files: list[Path] = []
    folders = [directory / part.folder for part in parts]
    for part, folder in zip(parts, folders, strict=True):
        make_folder(folder)
        files += _write_part(part, folder, formats, has_page, None)
    sections = [f"## {part.title}\n\n{part.markdown}" for part in parts]
    texts = {
        "table.md": "\n".join([joint.markdown(), *sections]),
        "table.tex": joint.latex(TEXT_IN),
        "table-narrow.tex": joint.latex(COLUMN_IN),
        "table.csv": joint.csv(),
    }
    figure = Drawn(
        "Methods under each condition, with 95% intervals",
        plots.conditions([(part.title, part.table) for part in parts]),
    )
    if has_page:
        contents = [
            contents_of(
                part.title, part.table, part.styled(None), [file.name for file in files if file.parent == folder]
            )
            for part, folder in zip(parts, folders, strict=True)
        ]
        names = {*texts, *(f"{_CONDITIONS}.{form}" for form in formats)}
        texts[PAGE] = write_overview(
            contents, [f"{quote(folder.name)}/{PAGE}" for folder in folders], joint, {_CONDITIONS: figure}, names
        )
    for name, text in texts.items():
        write_text_atomically(directory / name, text)
    above = [*(directory / name for name in texts), *plots.save(figure.axes, directory / _CONDITIONS, formats)]
    plots.close(figure.axes)
    return Report(directory, (*above, *files, contents_kept.write(directory)), parts, joint)


def joint_table(parts: Sequence[Part], style: TableStyle | None = None) -> Table:
    """The table of all methods, with the conditions of several parts side by side."""
    return tables.table_of([Condition(part.title, part.table) for part in parts], style)


def gather(
    runs: Sequence[Run],
    any_renderer: bool = False,
    published: Sequence[PublishedResult] = (),
    intervals: Intervals = "wilson",
    reference: str | None = None,
    labels: Mapping[str, str] | None = None,
    seeds: Seeds = "mean",
) -> tuple[Part, ...]:
    """The methods by condition, compared.

    Raises:
        RunsDifferError: See `write_report`.
    """
    found = groups(runs)
    for group in found:
        require_comparable(group.runs, any_renderer)
    calvins = [_is_calvins(group) for group in found]
    if published and not any(calvins):
        require_published_fit(runs)
    by_condition = methods_by_condition(runs, labels, seeds)
    return tuple(
        Part(
            group.title,
            TableInput.of(
                members,
                published if is_calvins else (),
                compare_methods_if_possible(members, reference),
                intervals,
            ),
        )
        for group, members, is_calvins in zip(found, by_condition, calvins, strict=True)
    )


def _is_calvins(group: Group) -> bool:
    """Whether published rows may be below: not for another scene or other chains."""
    try:
        require_published_fit(group.runs)
    except RunsDifferError:
        return False
    return True


def _write_part(
    part: Part, directory: Path, formats: Sequence[str], has_page: bool, style: TableStyle | None
) -> tuple[Path, ...]:
    table, runs, comparison = part.table, part.runs, part.comparison
    styled, labels = part.styled(style), table.labels
    texts = {
        "table.md": styled.markdown(has_long_notes=True),
        "table.tex": styled.latex(TEXT_IN),
        "table-narrow.tex": styled.latex(COLUMN_IN),
        "table.csv": styled.csv(),
        "runs.csv": tables.run_table(table).to_csv(index=False),
        "tasks.csv": tables.task_table(table).to_csv(index=False),
        "speed.md": _with_note(speed_in_words(runs, labels), SPEED_NOTE),
        "speed.csv": speed_table(runs, labels).to_csv(index=False),
    }
    if not are_of_tasks(runs):
        texts["conditional.csv"] = tables.conditional_table(table).to_csv(index=False)
        texts["first-failures.csv"] = tables.first_failure_table(table).to_csv(index=False)
    if table.seed_means:
        texts["seeds.csv"] = seed_table(table.seed_means).to_csv(index=False)
    smoothness = pd.DataFrame()
    if comparison is not None:
        texts["pairs.md"] = in_words(comparison) + "\n"
        texts["pairs.csv"] = comparison.frame().to_csv(index=False)
        differences = run_differences(runs, labels)
        texts["smoothness.csv"] = smoothness_table(differences).to_csv(index=False)
        smoothness = smoothness_in_words(comparison, differences)
    if not smoothness.empty:
        texts["speed.md"] += "\n" + _with_note(smoothness, SMOOTHNESS_NOTE)
    drawn = _drawn(table) if formats or has_page else {}
    if has_page:
        names = {*texts, *(f"{name}.{form}" for name in drawn for form in formats)}
        contents = contents_of(part.title, table, styled, names)
        texts[PAGE] = write_page(contents, table, smoothness, drawn, directory, names)
    for name, text in texts.items():
        write_text_atomically(directory / name, text)
    figures = tuple(path for name, each in drawn.items() for path in plots.save(each.axes, directory / name, formats))
    for each in drawn.values():
        plots.close(each.axes)
    return (*(directory / name for name in texts), *figures)


def _with_note(table: pd.DataFrame, note: str) -> str:
    return f"{table.to_markdown(index=False)}\n\n{note}\n"


def _drawn(table: TableInput) -> dict[str, Drawn]:
    """All figures for which the runs have data, by file name."""
    runs, found, comparison = table.runs, table.methods, table.comparison
    are_chains = not are_of_tasks(runs)
    colors = plots.method_colors(found)
    are_narrow = len(found) <= _MOST_TOGETHER or max(len(method.marked_name) for method in found) <= _SHORT_NAME
    width = plots.WIDTH_IN if are_narrow else plots.WIDE_IN
    drawn: dict[str, Drawn] = {}
    if are_chains:
        words = "Chains with at least k subtasks in a row, with 95% bands"
        if any(method.has_seeds for method in found):
            words += ". Several training seeds: mean, with an interval over seeds and chains at each k"
        drawn["survival"] = Drawn(words, plots.survival(found, colors=colors, width=width))
        words = "Success at each position of a chain, of the chains that reached it, with 95% intervals"
        drawn["conditional"] = Drawn(
            words, plots.conditional(found, intervals=table.intervals, colors=colors, width=width)
        )
    drawn["tasks"] = Drawn("Success of each task, of the times it was reached", plots.tasks(found, colors=colors))
    if comparison is not None:
        drawn["pairs"] = Drawn(_FOREST_CAPTION, plots.forest(comparison, colors=colors))
    if any(not np.isnan(speed(run).policy_ms) for run in runs):
        drawn["latency"] = Drawn("Time per action", plots.latency(found, colors=colors))
        if are_chains:
            drawn["tradeoff"] = Drawn("Success against time per action", plots.tradeoff(found, colors=colors))
    if plots.by_memory(found):
        drawn["memory"] = Drawn("Success by memory", plots.memory(found, colors=colors))
    has_failures = [method for method in found if any(r.outcome != SOLVED for run in method.runs for r in run.records)]
    if are_chains and len(has_failures) > 1:
        drawn["first-failures"] = Drawn("Tasks at which chains ended", plots.first_failures(found, colors=colors))
    for method in has_failures if are_chains else ():
        caption = f"Where chains ended: {method.marked_name}"
        name = f"first-failures-{method.runs[0].directory.name}"
        drawn[name] = Drawn(caption, plots.first_failures(method), is_detail=True)
    return drawn


_FOREST_CAPTION = (
    "Paired differences on the same chains, with 95% intervals; filled markers: significantly different from 0"
)


def report_folder(paths: Sequence[str | Path]) -> Path:
    """The default folder of a report: `report/` in the folder that holds all of the runs.

    Raises:
        ValueError: Nothing but the root holds all of them.
    """
    return _folder_of_all(paths) / REPORT_FOLDER


def _folder_of_all(paths: Sequence[str | Path]) -> Path:
    folder = Path(os.path.commonpath([Path(path).resolve() for path in paths]))
    if folder == Path(folder.anchor):
        raise ValueError("expected folders with a parent in common for the report, got none. Say where with --out DIR.")
    return folder
