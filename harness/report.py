"""From run directories to a report: tables and figures in a folder."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calvinbench.harness import plots, tables
from calvinbench.harness.description import OFFICIAL_SCENE, Difference
from calvinbench.harness.published_results import PublishedResult
from calvinbench.harness.run_directory import make_folder, write_text_atomically
from calvinbench.harness.runs import Run, find_runs

REPORT_FOLDER = "report"
_MUST_AGREE = (
    *("chains", "chain_digest", "tasks", "max_steps", "world", "scene", "asset_digest"),
    *("instructions", "instruction_digest"),
)
_RENDERER_FIELDS = ("renderer", "depth_bits", "reference_frame")


class RunsDifferError(ValueError):
    """Runs that cannot stand in one table."""


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
    }
    for name, text in texts.items():
        write_text_atomically(directory / name, text)
    figures = plots.save(plots.tasks(runs), directory / "tasks")
    if not tables.are_of_tasks(runs):
        figures = plots.save(plots.survival(runs), directory / "survival") + figures
    return Report(directory, (*(directory / name for name in texts), *figures), runs, markdown)


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


def require_comparable(runs: Sequence[Run], any_renderer: bool = False) -> None:
    """Refuses runs whose chains, steps, world, scene, renderer or instruction set differ.

    Args:
        runs: What is to be compared.
        any_renderer: Whether the renderers may differ.

    Raises:
        RunsDifferError: They do; the message shows where.
    """
    first = runs[0]
    fields = _MUST_AGREE if any_renderer else _MUST_AGREE + _RENDERER_FIELDS
    for other in runs[1:]:
        unlike = [
            Difference(name, getattr(first.description, name), getattr(other.description, name))
            for name in fields
            if getattr(first.description, name) != getattr(other.description, name)
        ]
        if unlike:
            listed = "\n".join(f"  {difference.name}: {difference.old} and {difference.new}" for difference in unlike)
            only_renderer = {difference.name for difference in unlike} <= set(_RENDERER_FIELDS)
            raise RunsDifferError(
                f"'{first.directory}' and '{other.directory}' cannot stand in one table, for they differ in\n{listed}\n"
                "Report them separately, or run one of them again on the other's terms"
                + (", or compare them all the same with --any-renderer." if only_renderer else ".")
            )
