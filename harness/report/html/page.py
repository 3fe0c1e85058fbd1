"""The content of the report's page, collected from runs; the templates lay it out."""

import io
import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from calvinbench.envs.tasks import TASKS
from calvinbench.harness.analysis.comparison import Comparison
from calvinbench.harness.analysis.smoothness import SMOOTHNESS_NOTE
from calvinbench.harness.analysis.speed import SPEED_NOTE, speed, speed_in_words
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.records.run_directory import SHARDS_FOLDER
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report import tables
from calvinbench.harness.report.comparison_words import explanations, pair_rows
from calvinbench.harness.report.plots.style import WIDTH_IN, figure_of, style
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.report.table_notes import notes
from calvinbench.harness.rollout.videos import VIDEOS_FOLDER

_MOST_DETAILS_SHOWN = 2
"""More are folded."""
_VIDEO = re.compile(r"chain_(\d+)\.mp4", re.ASCII)


class Drawn(NamedTuple):
    """A figure on the page.

    Attributes:
        caption: Below it.
        axes: Its axes, or an array of them.
        is_detail: Whether it is folded where there are several such.
    """

    caption: str
    axes: Axes | np.ndarray
    is_detail: bool = False


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    interval: str
    is_best: bool


@dataclass(frozen=True, slots=True)
class Contents:
    """What stands on top of a page: a table, what it says, and what must be said of it.

    Attributes:
        title: Of the suite.
        part: What sets the runs apart from others of the report; empty where there are no others.
        subtitle: How many runs of what.
        verdict: Of the comparison; empty without one.
        columns: Of the table.
        rows: The runs.
        means: Means over training seeds.
        published: Published rows.
        notes: Below the table.
        pairs: Each two runs; None without a comparison.
    """

    title: str
    part: str
    subtitle: str
    verdict: str
    columns: list[str]
    rows: list[list[_Cell]]
    means: list[list[_Cell]]
    published: list[list[str]]
    notes: list[str]
    pairs: dict[str, Any] | None


def contents_of(part: str, table: TableInput) -> Contents:
    """What is said of runs that stand in one table.

    Args:
        part: See `Contents`.
        table: The runs.
    """
    runs, comparison = table.runs, table.comparison
    first, suite, grid = runs[0].description, _suite(runs), tables.of_input(table).grid
    cells = [[_Cell(cell.head, cell.interval, cell.is_best) for cell in row] for row in grid.rows]
    num_above = grid.num_rows - grid.num_published
    return Contents(
        title=f"calvinbench: {suite}" if suite else "calvinbench: report",
        part=part,
        subtitle=f"{len(runs)} {'run' if len(runs) == 1 else 'runs'} on scene {first.scene}, "
        f"{first.chains} {'starts of single tasks' if first.tasks else 'chains'} each",
        verdict="" if comparison is None else comparison.verdict,
        columns=list(grid.titles),
        rows=cells[:num_above],
        means=[],
        published=[[f"{cell.text} {cell.interval}".strip() for cell in row] for row in cells[num_above:]],
        notes=notes(table),
        pairs=None if comparison is None else _pairs(comparison),
    )


def _suite(runs: Sequence[Run]) -> str:
    """The suite that runs are of; of several suites' in one folder, which is called after one, that folder's name."""
    suites, folders = {run.description.suite for run in runs}, {run.directory.resolve().parent.name for run in runs}
    return folders.pop() if len(suites) > 1 and len(folders) == 1 else runs[0].description.suite or ""


def write_page(
    contents: Contents, table: TableInput, smoothness: pd.DataFrame, figures: Sequence[Drawn], directory: Path
) -> str:
    """The page as HTML, with everything in it but videos, to which it links from its folder.

    Args:
        contents: What stands on top.
        table: The runs.
        smoothness: See `smoothness_in_words`; empty where no two are compared.
        figures: What is drawn of them.
        directory: Where the page will be.
    """
    placed = [(drawn.is_detail, _figure(drawn, place)) for place, drawn in enumerate(figures)]
    folds = sum(is_detail for is_detail, _ in placed) > _MOST_DETAILS_SHOWN
    return _fill(
        "report.html",
        contents=contents,
        figures=[figure for is_detail, figure in placed if not (folds and is_detail)],
        details=[figure for is_detail, figure in placed if folds and is_detail],
        speed=speed_in_words(table.runs, table.labels).to_dict("split"),
        speed_note=SPEED_NOTE,
        smoothness=smoothness.to_dict("split"),
        smoothness_note=SMOOTHNESS_NOTE,
        runs=[{"label": label, "facts": _facts(run)} for run, label in table.labelled()],
        data=_data(table, directory),
    )


def write_overview(parts: Sequence[Contents], links: Sequence[str]) -> str:
    """A page above several: all their tables and verdicts, and where the rest is.

    Args:
        parts: What stands on top of each page.
        links: To the pages.
    """
    return _fill("overview.html", parts=list(zip(parts, links, strict=True)))


def _fill(template: str, **content: Any) -> str:
    def text_of(name: str) -> str:
        return files("calvinbench.harness.report.html").joinpath(name).read_text("utf-8")

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.FunctionLoader(text_of)
    )
    return environment.get_template(template).render(**content)


def _pairs(comparison: Comparison) -> dict[str, Any]:
    rows = pair_rows(comparison)
    return {
        "reference": comparison.reference,
        "columns": list(rows[0]),
        "rows": [list(row.values()) for row in rows],
        "notes": explanations(comparison),
    }


def _figure(drawn: Drawn, place: int) -> dict[str, Any]:
    return {
        "caption": drawn.caption,
        "svg": _svg(drawn.axes, place),
        "is_wide": figure_of(drawn.axes).get_figwidth() > WIDTH_IN,
    }


def _svg(axes: Axes | np.ndarray, place: int) -> Markup:
    """A figure as SVG that can stand beside others: ids of its own, no XML declaration, text as text."""
    written = io.StringIO()
    with style({"svg.hashsalt": f"calvinbench-{place}", "svg.fonttype": "path"}):
        figure_of(axes).savefig(written, format="svg", metadata={"Date": None})
    text = written.getvalue()
    svg = text[text.index("<svg") :]
    for name in set(re.findall(r'id="([^"]+)"', svg)):  # an id counts once a page
        svg = svg.replace(f'id="{name}"', f'id="f{place}-{name}"').replace(f"#{name})", f"#f{place}-{name})")
        svg = svg.replace(f'"#{name}"', f'"#f{place}-{name}"')
    return Markup(svg)  # noqa: S704  matplotlib's own, with labels escaped


def _facts(run: Run) -> list[tuple[str, str]]:
    """What a run was, as its own page of a lab book would say."""
    said, found = run.description, speed(run)
    facts = {
        "Policy": said.policy,
        "Official": str(said.official),
        "Trained on": said.train or "unknown",
        "Weights": (said.weights_digest or "none")[:16],
        "Reads": ", ".join(said.observation_keys) or "nothing",
        "Memory": f"{said.memory.span}, reset at each {said.memory.reset}",
        "Chunks": f"{said.chunk_length} actions predicted, rule {said.chunk_rule}",
        "Scene": f"{said.scene} ({said.asset_digest[:12]}), simulation {said.simulation}, renderer {said.renderer}",
        "Instructions": f"{said.instructions} ({said.instruction_digest[:12]})",
        "Steps per subtask": str(said.max_steps),
        "Seed": str(said.seed),
        "Policy, ms per step": _number(found.policy_ms, "g", f" median, {found.policy_ms_p95:g} at 95%"),
        "World, ms per step": _number(found.world_ms, ".1f", " mean"),
        "Chains per hour, one world": _number(found.chains_per_hour, ".1f"),
        "Change of action per step": _number(found.action_change, ".3f"),
        "Started": said.created,
    }
    for number, session in enumerate(said.sessions, start=1):
        facts[f"Session {number}"] = (
            f"{session.started}, {session.worlds} worlds, commit {session.commit or 'unknown'}, "
            f"Python {session.python}, {session.hardware}"
        )
    return list(facts.items())


def _data(table: TableInput, directory: Path) -> Markup:
    """All chains, for the page's script."""
    runs, chains = table.runs, []
    for place, run in enumerate(runs):
        videos = _videos(run)
        chains += [_chain(record, place, videos.get(record.chain), directory) for record in run.records]
    reached = {subtask.task for run in runs for record in run.records for subtask in record.subtasks}
    content = {
        "runs": [{"label": label} for label in table.labels],
        "tasks": [*(task for task in TASKS if task in reached), *sorted(reached - set(TASKS))],
        "most": max((record.completed for run in runs for record in run.records), default=0),
        "chains": chains,
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704  JSON that cannot end its element


def _videos(run: Run) -> dict[int, Path]:
    """A run's videos by chain, those of its shards too, which merging leaves where they are."""
    videos: dict[int, Path] = {}
    for folder in (VIDEOS_FOLDER, f"{SHARDS_FOLDER}/*/{VIDEOS_FOLDER}"):
        for file in sorted(run.directory.glob(f"{folder}/chain_*.mp4")):
            if found := _VIDEO.fullmatch(file.name):
                videos.setdefault(int(found[1]), file)
    return videos


def _chain(record: ChainRecord, place: int, video: Path | None, directory: Path) -> dict[str, Any]:
    return {
        "run": place,
        "chain": record.chain,
        "completed": record.completed,
        "outcome": record.outcome,
        "subtasks": [[done.task, done.instruction, done.outcome, done.steps] for done in record.subtasks],
        "error": record.printable_error or "",
        "video": _link(video, directory) if video else "",
    }


def _link(file: Path, directory: Path) -> str:
    """A link that holds wherever the whole folder is moved to."""
    return quote(Path(os.path.relpath(file.resolve(), directory.resolve())).as_posix())


def _number(value: float, form: str, after: str = "") -> str:
    """A number in words; a dash where the records do not tell it, as before a chain is finished."""
    return tables.NOT_THERE if math.isnan(value) else f"{value:{form}}{after}"
