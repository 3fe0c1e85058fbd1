"""From run directories to a report: tables and figures in a folder."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
from calvinbench.harness.analysis.comparison import Comparison, compare_if_possible
from calvinbench.harness.analysis.smoothness import SMOOTHNESS_NOTE, smoothness_in_words, smoothness_table
from calvinbench.harness.analysis.speed import SPEED_NOTE, speed, speed_in_words, speed_table
from calvinbench.harness.analysis.statistics import Intervals
from calvinbench.harness.analysis.training_seeds import seed_table
from calvinbench.harness.records.folders import make_folder, write_text_atomically
from calvinbench.harness.records.runs import Run, find_runs
from calvinbench.harness.report import plots, tables
from calvinbench.harness.report.comparison_words import in_words
from calvinbench.harness.report.html.page import Drawn, contents_of, write_overview, write_page
from calvinbench.harness.report.published_results import PublishedResult
from calvinbench.harness.report.report_contents import ReportContents
from calvinbench.harness.report.table_input import TableInput

REPORT_FOLDER = "report"
PAGE = "index.html"


@dataclass(frozen=True, slots=True)
class Part:
    """Runs that stand in one table.

    Attributes:
        title: What sets them apart from other parts; empty where there is but one.
        table: The runs, their comparison and published rows.
    """

    title: str
    table: TableInput

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs."""
        return self.table.runs

    @property
    def comparison(self) -> Comparison | None:
        """The comparison of the runs; None where there is nothing to compare."""
        return self.table.comparison

    @property
    def folder(self) -> str:
        """The title as a folder's name."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.title).strip("-.")

    @property
    def markdown(self) -> str:
        """The table, with its notes."""
        text = tables.to_markdown(self.table)
        return f"## {self.title}\n\n{text}" if self.title else text


@dataclass(frozen=True, slots=True)
class Report:
    """What was written.

    Attributes:
        directory: The report's folder.
        files: All that was written, in it.
        parts: The runs, by table.
    """

    directory: Path
    files: tuple[Path, ...]
    parts: tuple[Part, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs."""
        return tuple(run for part in self.parts for run in part.runs)

    @property
    def markdown(self) -> str:
        """The tables."""
        return "\n".join(part.markdown for part in self.parts)


def write_report(
    paths: Sequence[str | Path],
    out: Path | None = None,
    any_renderer: bool = False,
    published: Sequence[PublishedResult] = (),
    intervals: Intervals = "wilson",
    reference: str | None = None,
    formats: Sequence[str] = plots.FORMATS,
    has_page: bool = True,
) -> Report:
    """Writes tables and figures of runs.

    Runs of several scenes or instruction sets are never held against each other: each has a table and a folder of its
    own, and a page and a `table.md` above them shows all tables.

    Args:
        paths: Runs' folders, or folders that hold several.
        out: The report's folder; None for `report/` in the folder that holds all of them.
        any_renderer: Whether runs whose pictures look different may stand in one table.
        published: Published rows to be shown below the runs on CALVIN's own scene.
        intervals: Of rates, in tables and figures; averages and curves have bootstraps whatever is asked for.
        reference: The run that each other of its table is held against, see `comparison.compare`.
        formats: File formats of the figures, some of `plots.FORMATS`; without any, no figure is saved.
        has_page: Whether `index.html` is written.

    Raises:
        ValueError: A format is unknown, there is no run in a folder, or nothing but the root holds all of them and
            `out` is None.
        RunsDifferError: Runs of one scene and instruction set are not of the same chains, steps and renderer, or
            published rows are wanted and no run is of CALVIN's chains on its scene D.
        OSError: The report cannot be written.
    """
    runs = find_runs(*paths)
    parts = gather(runs, any_renderer, published, intervals, reference)
    directory = out or report_folder(paths)
    make_folder(directory)
    contents_kept = ReportContents.of(runs, directory, any_renderer, published, intervals, reference)
    if len(parts) == 1:
        written = _write_part(parts[0], directory, formats, has_page)
        return Report(directory, (*written, contents_kept.write(directory)), parts)
    files: list[Path] = []
    folders = [directory / part.folder for part in parts]
    for part, folder in zip(parts, folders, strict=True):
        make_folder(folder)
        files += _write_part(part, folder, formats, has_page)
    texts = {"table.md": "\n".join(part.markdown for part in parts)}
    if has_page:
        contents = [contents_of(part.title, part.table) for part in parts]
        texts[PAGE] = write_overview(contents, [f"{folder.name}/{PAGE}" for folder in folders])
    for name, text in texts.items():
        write_text_atomically(directory / name, text)
    above = [directory / name for name in texts]
    return Report(directory, (*above, *files, contents_kept.write(directory)), parts)


def gather(
    runs: Sequence[Run],
    any_renderer: bool = False,
    published: Sequence[PublishedResult] = (),
    intervals: Intervals = "wilson",
    reference: str | None = None,
) -> tuple[Part, ...]:
    """The runs by table, compared.

    Raises:
        RunsDifferError: See `write_report`.
    """
    found = groups(runs)
    for group in found:
        require_comparable(group.runs, any_renderer)
    calvins = [group for group in found if _is_calvins(group)]
    if published and not calvins:
        require_published_fit(runs)
    return tuple(
        Part(
            group.title,
            TableInput.of(
                group.runs,
                published if group in calvins else (),
                compare_if_possible(group.runs, any_renderer, reference),
                intervals,
            ),
        )
        for group in found
    )


def _is_calvins(group: Group) -> bool:
    """Whether published figures may stand below: of another scene or of other chains nothing can be read."""
    try:
        require_published_fit(group.runs)
    except RunsDifferError:
        return False
    return True


def _write_part(part: Part, directory: Path, formats: Sequence[str], has_page: bool) -> tuple[Path, ...]:
    table, runs, comparison = part.table, part.runs, part.comparison
    texts = {
        "table.md": tables.to_markdown(table),
        "table.tex": tables.to_latex(table),
        "table.csv": tables.number_table(table).to_csv(index=False),
        "tasks.csv": tables.task_table(table).to_csv(index=False),
        "speed.md": _with_note(speed_in_words(runs), SPEED_NOTE),
        "speed.csv": speed_table(runs).to_csv(index=False),
    }
    if not are_of_tasks(runs):
        texts["conditional.csv"] = tables.conditional_table(table).to_csv(index=False)
        texts["first-failures.csv"] = tables.first_failure_table(table).to_csv(index=False)
    if table.seed_means:
        texts["seeds.csv"] = seed_table(runs).to_csv(index=False)
    if comparison is not None:
        texts["pairs.md"] = in_words(comparison) + "\n"
        texts["pairs.csv"] = comparison.frame().to_csv(index=False)
        texts["smoothness.csv"] = smoothness_table(runs).to_csv(index=False)
    smoothness = pd.DataFrame() if comparison is None else smoothness_in_words(comparison)
    if not smoothness.empty:
        texts["speed.md"] += "\n" + _with_note(smoothness, SMOOTHNESS_NOTE)
    drawn = _drawn(table) if formats or has_page else {}
    if has_page:
        contents = contents_of(part.title, table)
        texts[PAGE] = write_page(contents, table, smoothness, list(drawn.values()), directory)
    for name, text in texts.items():
        write_text_atomically(directory / name, text)
    figures = tuple(path for name, each in drawn.items() for path in plots.save(each.axes, directory / name, formats))
    return (*(directory / name for name in texts), *figures)


def _with_note(table: pd.DataFrame, note: str) -> str:
    return f"{table.to_markdown(index=False)}\n\n{note}\n"


def _drawn(table: TableInput) -> dict[str, Drawn]:
    """All figures for which the runs have data, by file name."""
    runs, comparison = table.runs, table.comparison
    are_chains = not are_of_tasks(runs)
    drawn: dict[str, Drawn] = {}
    if are_chains:
        drawn["survival"] = Drawn("Subtasks completed in a row, with a simultaneous 95% band", plots.survival(runs))
    drawn["tasks"] = Drawn(
        "Success of each task, of those reached, with 95% intervals", plots.tasks(runs, intervals=table.intervals)
    )
    if comparison is not None:
        drawn["pairs"] = Drawn(_forest_caption(comparison), plots.forest(comparison))
    if any(not np.isnan(speed(run).policy_ms) for run in runs):
        drawn["latency"] = Drawn("Time per action", plots.latency(runs))
        if are_chains:
            drawn["tradeoff"] = Drawn("Success against time per action", plots.tradeoff(runs))
    if plots.by_memory(runs):
        drawn["memory"] = Drawn("Success by memory", plots.memory(runs))
    for run, label in table.labelled():
        if are_chains and any(record.outcome != SOLVED for record in run.records):
            caption = f"Where chains ended: {label}"
            drawn[f"first-failures-{run.directory.name}"] = Drawn(caption, plots.first_failures(run), is_detail=True)
    return drawn


def _forest_caption(comparison: Comparison) -> str:
    shown, whole = len(comparison.shown_pairs), len(comparison.pairs)
    which = f" (the {shown} of {whole} pairs with the best run)" if shown < whole else ""
    return f"Paired differences{which}, with 95% intervals; filled markers: significantly different from 0"


def report_folder(paths: Sequence[str | Path]) -> Path:
    """Where the report of runs goes, unless told otherwise: `report/` in the folder that holds all of them.

    Raises:
        ValueError: Nothing but the root holds all of them.
    """
    return _folder_of_all(paths) / REPORT_FOLDER


def _folder_of_all(paths: Sequence[str | Path]) -> Path:
    folder = Path(os.path.commonpath([Path(path).resolve() for path in paths]))
    if folder == Path(folder.anchor):
        raise ValueError("expected folders with a parent in common for the report, got none. Say where with --out DIR.")
    return folder
