"""The figures of a paper: one folder with PDF files, and a `figures.tex` that includes them with captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes

from calvinbench.envs.chain_env import SOLVED
from calvinbench.envs.names import require_name
from calvinbench.harness.analysis.comparable import are_of_tasks, require_comparable
from calvinbench.harness.analysis.comparison import Comparison, compare_if_possible
from calvinbench.harness.analysis.methods import Method, Seeds, methods
from calvinbench.harness.analysis.speed import speed
from calvinbench.harness.records.folders import make_folder, write_text_atomically
from calvinbench.harness.records.runs import Run, find_runs
from calvinbench.harness.report import plots
from calvinbench.harness.report.latex import escape
from calvinbench.harness.report.paper_captions import captions

TEX_FILE = "figures.tex"


@dataclass(frozen=True, slots=True)
class Venue:
    """Widths of a conference's pages.

    Attributes:
        column_in: Width of a column in inches; of the text if there is one column.
        text_in: Width of the text in inches.
    """

    column_in: float
    text_in: float

    @property
    def has_columns(self) -> bool:
        """Whether a page has two columns."""
        return self.column_in < self.text_in


VENUES: Mapping[str, Venue] = MappingProxyType(
    {
        "iclr": Venue(5.5, 5.5),
        "neurips": Venue(5.5, 5.5),
        "corl": Venue(5.5, 5.5),
        "ieee": Venue(3.5, 7.16),
    }
)
"""Venues by name. The widths of ICLR and NeurIPS are those that TueplotS 0.2.5 gives; that of CoRL is no wider than its
text; those of IEEE are a column and the text of IEEEtran in its conference mode."""
_WIDE = ("tasks", "first-failures")
"""Figures that go over both columns if there are many methods."""
_MANY = 8


@dataclass(frozen=True, slots=True)
class PaperFigures:
    """What was written.

    Attributes:
        directory: The folder.
        files: The PDF files and `figures.tex`.
        methods: The methods that are shown.
    """

    directory: Path
    files: tuple[Path, ...]
    methods: tuple[Method, ...]


def write_paper_figures(
    paths: Sequence[str | Path],
    venue: str,
    out: Path,
    reference: str | None = None,
    labels: Mapping[str, str] | None = None,
    seeds: Seeds = "mean",
    any_renderer: bool = False,
    formats: Sequence[str] = ("pdf",),
) -> PaperFigures:
    """Draws all figures for which the runs have data, in the widths of a venue, and writes `figures.tex`.

    A method has the same colour and name in all figures; methods are in the order of their average lengths.

    Args:
        paths: Folders of runs, or folders that hold several.
        venue: One of `VENUES`.
        out: The folder to write into.
        reference: The method that each other is compared with; None for the best.
        labels: New names by old ones, see `methods`.
        seeds: Whether training seeds of one recipe are one method.
        any_renderer: Whether the renderers may differ.
        formats: Some of `plots.FORMATS`. LaTeX needs `pdf`.

    Raises:
        UnknownNameError: There is no such venue, format, method or reference.
        ValueError: A folder holds no run.
        RunsDifferError: The runs are not of the same scene, chains, steps and instruction set.
        OSError: The folder cannot be written.
    """
    require_name(venue, VENUES, "venue")
    runs = find_runs(*paths)
    require_comparable(runs, any_renderer)
    comparison = compare_if_possible(runs, any_renderer, reference, labels, seeds)
    found = methods(runs, labels, seeds)
    drawn = draw_paper_figures(found, comparison, VENUES[venue])
    make_folder(out)
    files = [path for name, axes in drawn.items() for path in plots.save(axes, out / name, formats)]
    texts = captions(found, comparison)
    blocks = [_environment(name, axes, texts[name], VENUES[venue]) for name, axes in drawn.items()]
    for axes in drawn.values():
        plots.close(axes)
    write_text_atomically(out / TEX_FILE, _HEAD + "\n".join(blocks))
    return PaperFigures(out, (*files, out / TEX_FILE), found)


_HEAD = """% Written by calvinbench figures. The preamble needs \\usepackage{graphicx}.
% Include this file with \\input{figures}, after \\graphicspath{{FOLDER/}} if this folder is not the paper's.
"""


def draw_paper_figures(
    found: Sequence[Method], comparison: Comparison | None, venue: Venue
) -> dict[str, Axes | np.ndarray]:
    """All figures for which there is data, by file name.

    Args:
        found: The methods.
        comparison: Of these methods; None if there is nothing to compare.
        venue: Whose widths they have.
    """
    colors = plots.method_colors(found)
    runs: list[Run] = [run for method in found for run in method.runs]
    narrow = venue.column_in
    wide = venue.text_in if len(found) > _MANY else narrow
    drawn: dict[str, Axes | np.ndarray] = {}
    if not are_of_tasks(runs):
        drawn["survival"] = plots.survival(found, colors=colors, order="success", width=narrow)
        drawn["conditional"] = plots.conditional(found, colors=colors, order="success", width=narrow)
    drawn["tasks"] = plots.tasks(found, colors=colors, order="success", width=wide)
    if comparison is not None:
        drawn["pairs"] = plots.forest(comparison, colors=colors, width=narrow)
    if any(not np.isnan(speed(run).policy_ms) for run in runs):
        drawn["latency"] = plots.latency(found, colors=colors, order="success", width=narrow)
        drawn["tradeoff"] = plots.tradeoff(found, colors=colors, width=narrow)
    if plots.by_memory(found):
        drawn["memory"] = plots.memory(found, colors=colors, width=narrow)
    if not are_of_tasks(runs) and any(record.outcome != SOLVED for run in runs for record in run.records):
        drawn["first-failures"] = plots.first_failures(found, colors=colors, order="success", width=wide)
    return drawn


def _environment(name: str, axes: Axes | np.ndarray, caption: str, venue: Venue) -> str:
    is_wide = venue.has_columns and plots.figure_of(axes).get_figwidth() > venue.column_in
    environment = "figure*" if is_wide else "figure"
    return "\n".join(
        [
            f"\\begin{{{environment}}}[tp]",
            "  \\centering",
            f"  \\includegraphics{{{name}.pdf}}",
            f"  \\caption{{{escape(caption)}}}",
            f"  \\label{{fig:{name}}}",
            f"\\end{{{environment}}}",
            "",
        ]
    )
