"""`calvinbench figures`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from calvinbench.harness.command_line.console import DONE, print_json, tell
from calvinbench.harness.command_line.usage import Example, Usage
from calvinbench.harness.verbs.results.renames import read_renames


@dataclass(frozen=True, slots=True)
class Figures:
    """Write the figures of runs for a paper: PDF files in the venue's width, and a figures.tex with captions."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("runs --for iclr", "write the figures of all runs in a folder, for ICLR"),
            Example("runs --for ieee --out paper/figures", "the same in columns of IEEE's papers, into another folder"),
        ),
        headings={
            "Runs and output": ("directories", "for_", "out", "rename", "json"),
            "Statistics": ("reference", "seeds", "any_renderer"),
        },
    )

    directories: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DIR ...")]
    """Folders of runs, or folders that hold several."""
    for_: Annotated[Literal["iclr", "corl", "neurips", "ieee"], tyro.conf.arg(name="for")] = "iclr"
    """Whose page widths the figures have."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("figures")
    """The folder to write into."""
    rename: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="OLD=NEW")] = ()
    """Another name for a method, given by its name, policy spec or folder. Repeat the flag for several."""
    reference: Annotated[str | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="(default: the best)")] = None
    """Compare each method with this one, as in an ablation. Name it by name, policy spec or folder."""
    seeds: Literal["mean", "each"] = "mean"
    """Whether training seeds of one recipe are one method, or each is drawn by itself."""
    any_renderer: bool = False
    """Also compare runs of different renderers."""
    json: bool = False
    """Print one JSON object instead of the folder."""

    def execute(self) -> int:
        """Draws and writes."""
        if not self.directories:
            raise ValueError("expected a folder with runs, got none. Such as: calvinbench figures runs --for iclr")
        from calvinbench.harness.report.paper_figures import write_paper_figures

        written = write_paper_figures(
            self.directories,
            self.for_,
            self.out,
            reference=self.reference,
            labels=read_renames(self.rename),
            seeds=self.seeds,
            any_renderer=self.any_renderer,
        )
        if self.json:
            names = [method.name for method in written.methods]
            print_json(
                {"directory": str(written.directory), "files": [str(f) for f in written.files], "methods": names}
            )
        else:
            tell(f"Written: {written.directory} ({len(written.files)} files)")
        return DONE
