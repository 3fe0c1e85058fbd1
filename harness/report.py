"""From run directories to a report: tables and figures in a folder."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calvinbench.envs.chain_env import SOLVED
from calvinbench.harness import plots, tables
from calvinbench.harness.comparable import RunsDifferError, require_comparable
from calvinbench.harness.comparison import Comparison, compare
from calvinbench.harness.comparison_words import in_words
from calvinbench.harness.description import OFFICIAL_SCENE
from calvinbench.harness.html.page import Drawn, write_page
from calvinbench.harness.labels import labels
from calvinbench.harness.published_results import PublishedResult
from calvinbench.harness.run_directory import make_folder, write_text_atomically
from calvinbench.harness.runs import Run, find_runs
from calvinbench.harness.speed import speed, speed_table

REPORT_FOLDER = "report"
PAGE = "index.html"


@dataclass(frozen=True, slots=True)
class Report:
    """What was written.

    Attributes:
        directory: The report's folder.
        files: All that was written, in it.
        runs: The runs that it compares.
        markdown: The table.
    """

    directory: Path
    files: tuple[Path, ...]
    runs: tuple[Run, ...]
    markdown: str


def write_report(
    paths: Sequence[str | Path],
    out: Path | None = None,
    any_renderer: bool = False,
    published: Sequence[PublishedResult] = (),
) -> Report:
    """Writes tables and figures of runs.

    Args:
        paths: Runs' folders, or folders that hold several.
        out: The report's folder; None for `report/` in the folder that holds all of them.
        any_renderer: Whether runs whose pictures look different may stand in one table.
        published: Published rows to be shown below the runs.

    Raises:
        ValueError: There is no run in a folder, or nothing but the root holds all of them and `out` is None.
        RunsDifferError: The runs are not of the same chains, steps, scene, renderer and instruction set, or published
            rows are wanted below runs that are not CALVIN's chains on its scene D.
        OSError: The report cannot be written.
    """
    runs = find_runs(*paths)
    require_comparable(runs, any_renderer)
    if published:
        _require_calvins_own(runs)
    directory = out or _folder_of_all(paths) / REPORT_FOLDER
    make_folder(directory)
    markdown = tables.to_markdown(runs, published)
    texts = {
        "table.md": markdown,
        "table.tex": tables.to_latex(runs, published),
        "table.csv": tables.number_table(runs).to_csv(index=False),
        "tasks.csv": tables.task_table(runs).to_csv(index=False),
        "speed.csv": speed_table(runs).to_csv(index=False),
    }
    comparison = _comparison(runs, any_renderer)
    if comparison is not None:
        texts["pairs.md"] = in_words(comparison) + "\n"
        texts["pairs.csv"] = comparison.frame().to_csv(index=False)
    drawn = _drawn(runs, comparison)
    texts[PAGE] = write_page(runs, comparison, list(drawn.values()), directory, published)
    for name, text in texts.items():
        write_text_atomically(directory / name, text)
    figures = tuple(path for name, each in drawn.items() for path in plots.save(each.axes, directory / name))
    return Report(directory, (*(directory / name for name in texts), *figures), runs, markdown)


def _comparison(runs: Sequence[Run], any_renderer: bool) -> Comparison | None:
    """The runs held against each other, where there are several with chains in common."""
    shared = set.intersection(*({record.chain for record in run.records} for run in runs))
    return compare(runs, any_renderer) if len(runs) > 1 and shared else None


def _drawn(runs: Sequence[Run], comparison: Comparison | None) -> dict[str, Drawn]:
    """All figures that the runs give something for, by the names of their files."""
    are_chains = not tables.are_of_tasks(runs)
    drawn: dict[str, Drawn] = {}
    if are_chains:
        drawn["survival"] = Drawn("Subtasks completed in a row, with a simultaneous 95% band", plots.survival(runs))
    drawn["tasks"] = Drawn("Success of each task, of those reached, with 95% intervals", plots.tasks(runs))
    if comparison is not None:
        drawn["pairs"] = Drawn("Paired differences with 95% intervals; filled: holds by Holm", plots.forest(comparison))
    if any(not np.isnan(speed(run).policy_ms) for run in runs):
        drawn["latency"] = Drawn("How long policies take for an action", plots.latency(runs))
        if are_chains:
            drawn["tradeoff"] = Drawn("Success against the policy's time", plots.tradeoff(runs))
    for run, label in zip(runs, labels(runs), strict=True):
        if are_chains and any(record.outcome != SOLVED for record in run.records):
            caption = f"Where chains ended: {label}"
            drawn[f"first-failures-{run.directory.name}"] = Drawn(caption, plots.first_failures(run))
    return drawn


def _require_calvins_own(runs: Sequence[Run]) -> None:
    """Refuses published rows below runs of another scene or of single tasks: nothing can be read from them together."""
    for run in runs:
        if run.description.scene != OFFICIAL_SCENE or run.description.tasks:
            what = "single tasks" if run.description.tasks else f"scene {run.description.scene}"
            raise RunsDifferError(
                f"expected chains on CALVIN's scene {OFFICIAL_SCENE} above published figures, but '{run.directory}' is "
                f"of {what}: they are not comparable. Leave --published out."
            )


def _folder_of_all(paths: Sequence[str | Path]) -> Path:
    folder = Path(os.path.commonpath([Path(path).resolve() for path in paths]))
    if folder == Path(folder.anchor):
        raise ValueError("expected folders with a parent in common for the report, got none. Say where with --out DIR.")
    return folder
