"""The report's page: what is on it is collected here, the templates lay it out."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from calvinbench.harness.analysis.comparison import Comparison
from calvinbench.harness.analysis.smoothness import SMOOTHNESS_NOTE
from calvinbench.harness.analysis.speed import SPEED_NOTE, speed_in_words
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.comparison_words import explanations, pair_grid
from calvinbench.harness.report.html.chain_list import chain_data, videos_of
from calvinbench.harness.report.html.file_links import links_to
from calvinbench.harness.report.html.pictures import Drawn, picture, split_details
from calvinbench.harness.report.html.run_facts import runs_of
from calvinbench.harness.report.html.sortable_tables import PageTable, of_frame, of_grid
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.report.tables import Table
from calvinbench.harness.report.tables.grid import Grid
from calvinbench.harness.report.tables.style import TableStyle

_MAIN_FIGURES = ("survival", "tasks")
"""The first of them that there is stands below the table; beside it the differences, if there is room."""
_MOST_DETAILS_SHOWN = 2
"""More are folded."""
_MOST_VIDEOS = 12
"""More are only in the list of chains."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What stands on top of a page: a table, what it says, and what must be said of it.

    Attributes:
        title: The suite.
        part: In what the condition differs from others of the report; empty if there is one.
        subtitle: How many runs of what.
        verdict: The comparison's; empty without one.
        names: The methods' names.
        table: The main table.
        caption: What the table shows, and what is the same in all rows.
        notes: A sentence each.
        long_notes: Paragraphs on protocol, intervals, tests and warnings.
    """

    title: str
    part: str
    subtitle: str
    verdict: str
    names: tuple[str, ...]
    table: PageTable
    caption: str
    notes: tuple[str, ...]
    long_notes: tuple[str, ...]


def contents_of(part: str, table: TableInput, shown: Table, names: Collection[str]) -> Contents:
    """What stands on top of the page of one condition.

    Args:
        part: See `Contents`.
        table: The methods.
        shown: Their table.
        names: Names of the files in the report's folder.
    """
    first = table.runs[0].description
    return Contents(
        title_of(table.runs),
        part,
        f"{_count(len(table.methods), 'method')}, {_count(len(table.runs), 'run')} on scene {first.scene}, "
        f"{first.chains} {'starts of single tasks' if first.tasks else 'chains'} each",
        "" if table.comparison is None else table.comparison.verdict,
        table.names,
        of_grid(_results_first(shown.grid), "main table", links_to(("table", "table-narrow", "runs", "seeds"), names)),
        shown.caption,
        shown.notes,
        shown.long_notes,
    )


def _results_first(grid: Grid) -> Grid:
    """The table with attributes behind the results, so that a narrow screen shows results.

    Columns that were asked for stay where they are.

    Args:
        grid: A table; its columns of words that may be left out are attributes.
    """
    first, *others = grid.columns
    return replace(grid, columns=(first, *sorted(others, key=lambda column: column.is_text and column.optional > 0)))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def title_of(runs: Sequence[Run]) -> str:
    """The suite that runs are of; of several suites' in one folder, which is called after one, that folder's name."""
    suites, folders = {run.description.suite for run in runs}, {run.directory.resolve().parent.name for run in runs}
    name = folders.pop() if len(suites) > 1 and len(folders) == 1 else runs[0].description.suite or "report"
    return f"calvinbench: {name}"


def write_page(
    contents: Contents,
    table: TableInput,
    smoothness: pd.DataFrame,
    figures: Mapping[str, Drawn],
    directory: Path,
    names: Collection[str],
) -> str:
    """The page of one condition as HTML, with everything in it but videos, to which it links from its folder.

    Args:
        contents: What stands on top.
        table: The methods.
        smoothness: See `smoothness_in_words`; empty where no two are compared.
        figures: The figures by file name.
        directory: Where the page will be.
        names: Names of the files in that folder.
    """
    pictures = [picture(name, drawn, names) for name, drawn in figures.items()]
    first = next((name for name in _MAIN_FIGURES if name in figures), "")
    is_first_wide = any(each.is_wide for each in pictures if each.name == first)
    main = [each for each in pictures if each.name == first or (each.name == "pairs" and not is_first_wide)]
    others, details = split_details([each for each in pictures if each not in main], _MOST_DETAILS_SHOWN)
    common, runs = runs_of(table, directory)
    videos = videos_of(table, directory)
    return _fill(
        "report.html",
        contents=contents,
        main_figures=main,
        figures=sorted(others, key=lambda each: (each.is_wide, each.height_px / each.width_px)),
        details=details,
        pairs=None if table.comparison is None else _pairs(table.comparison, names),
        speed=of_frame(
            speed_in_words(table.runs, table.labels), "table of speed", links_to(("speed", "smoothness"), names)
        ),
        speed_note=SPEED_NOTE,
        smoothness=None if smoothness.empty else of_frame(smoothness, "table of smoothness in pairs"),
        smoothness_note=SMOOTHNESS_NOTE,
        common=common,
        runs=runs,
        num_chains=sum(len(run.records) for run in table.runs),
        videos=videos[:_MOST_VIDEOS],
        num_videos=len(videos),
        data=chain_data(table, directory),
    )


def write_overview(
    parts: Sequence[Contents], links: Sequence[str], joint: Table, figures: Mapping[str, Drawn], names: Collection[str]
) -> str:
    """A page above those of several conditions: verdicts, all methods in one table, and the way to the rest.

    Args:
        parts: What stands on top of each page.
        links: To the pages.
        joint: The table of all methods, with the conditions side by side.
        figures: Of all conditions, by file name.
        names: Names of the files in the report's folder.
    """
    return _fill(
        "overview.html",
        parts=[(_linked_from_above(part, link), link) for part, link in zip(parts, links, strict=True)],
        contents=parts[0],
        joint=of_grid(_results_first(joint.grid), "main table", links_to(("table", "table-narrow"), names)),
        caption=joint.caption,
        notes=joint.notes,
        main_figures=[picture(name, drawn, names) for name, drawn in figures.items()],
    )


def _linked_from_above(part: Contents, link: str) -> Contents:
    folder = link.rpartition("/")[0]
    moved = tuple(file._replace(href=f"{folder}/{file.href}") for file in part.table.files)
    return replace(part, table=replace(part.table, files=moved))


def _pairs(comparison: Comparison, names: Collection[str]) -> dict[str, Any]:
    num_rates = len(comparison.pairs[0].rates)
    columns = ("difference", "clustered", "p", "holm", *map(str, range(1, num_rates + 1)), "detectable")
    grid = pair_grid(comparison, TableStyle(columns=columns, order="success"))
    return {
        "reference": comparison.reference,
        "table": of_grid(grid, "table of differences", links_to(("pairs",), names)),
        "notes": explanations(comparison),
    }


def isolated(text: str, names: Sequence[str]) -> Markup:
    """A text in which each method's name stands for itself: letters that run right to left end with the name.

    Args:
        text: Such as a verdict.
        names: The methods' names.
    """
    if not names:
        return escape(text)
    pattern = "|".join(map(re.escape, sorted(set(names), key=len, reverse=True)))
    parts = re.split(f"({pattern})", text)
    return Markup("").join(
        Markup("<bdi>{}</bdi>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


def coded(text: str) -> Markup:
    """A text in which names between backticks are set as code."""
    parts = (
        escape(part) if place % 2 == 0 else Markup("<code>{}</code>").format(part)
        for place, part in enumerate(text.split("`"))
    )
    return Markup("").join(parts)


def _fill(template: str, **content: Any) -> str:
    return _environment().get_template(template).render(**content)


@cache
def _environment() -> jinja2.Environment:
    def text_of(name: str) -> str:
        return files("calvinbench.harness.report.html").joinpath(name).read_text("utf-8")

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(text_of),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"isolated": isolated, "coded": coded}
    return environment
