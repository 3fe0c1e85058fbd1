"""`calvinbench view`."""

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from calvinbench.harness.command_line.console import DONE, print_json, tell
from calvinbench.harness.command_line.usage import Example, Usage


@dataclass(frozen=True, slots=True)
class View:
    """Open the report of runs in a browser. It is written first if it is missing or older than the runs."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("runs", "open the report of a folder's runs"),
            Example("runs --published 'ABC->D'", "show published results below the runs"),
        )
    )

    directories: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DIR ...")]
    """Folders of runs, or folders that hold several."""
    out: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: report, beside the runs)")
    ] = None
    """The report's folder."""
    any_renderer: bool = False
    """Also compare runs of different renderers."""
    published: Annotated[
        str | None, tyro.conf.arg(metavar="SPLIT", help_behavior_hint="(default: as in the existing report)")
    ] = None
    """Show published results of a split below the runs, marked as published."""
    second_hand: bool = False
    """With published results: also show those from leaderboards and from other papers' reproductions."""
    intervals: Annotated[
        Literal["wilson", "exact"] | None, tyro.conf.arg(help_behavior_hint="(default: as in the existing report)")
    ] = None
    """Confidence intervals of rates: wilson (Clopper-Pearson near 0 and 1), or exact (Clopper-Pearson everywhere)."""
    reference: Annotated[
        str | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="(default: as in the existing report)")
    ] = None
    """Compare each run with this run only. Name it by label, policy spec or folder."""
    json: bool = False
    """Print one JSON object instead of opening anything."""

    def execute(self) -> int:
        """Opens the page. Writes it first if it is missing or old, with the previous page's settings."""
        if not self.directories:
            raise ValueError("expected a folder with runs, got none. Such as: calvinbench view runs")
        page = self._page().resolve()
        if self.json:
            print_json({"page": str(page)})
        else:
            print(page)
            if not webbrowser.open(page.as_uri()):
                tell(
                    "No browser was found on this machine. The page needs no server: open the file on any machine with "
                    "a browser."
                )
        return DONE

    def _page(self) -> Path:
        from calvinbench.harness.records.runs import find_runs
        from calvinbench.harness.report.published_results import published_results, require_published
        from calvinbench.harness.report.report import PAGE, report_folder, write_report
        from calvinbench.harness.report.report_contents import ReportContents, is_newer_than, read_contents

        folder, runs = self.out or report_folder(self.directories), find_runs(*self.directories)
        old = read_contents(folder) or ReportContents(())
        any_renderer = self.any_renderer or old.any_renderer
        split = self.published or old.published
        intervals, reference = self.intervals or old.intervals, self.reference or old.reference
        second_hand = self.second_hand or (split == old.published and old.second_hand)
        if second_hand and split is None:
            raise ValueError(
                "--second-hand has no effect without --published SPLIT. Add --published, or remove --second-hand."
            )
        find = published_results if self.published is None else require_published
        published = () if split is None else find(split, second_hand)
        wanted = ReportContents.of(
            *(runs, folder, any_renderer, published, intervals, reference), old.labels, old.seeds, old.style
        )
        if not (old == wanted and (folder / PAGE).is_file() and is_newer_than(folder, runs)):
            write_report(
                *(self.directories, folder, any_renderer, published, intervals, reference),
                labels=old.labels,
                seeds=old.seeds,
                style=old.style,
            )
        return folder / PAGE
