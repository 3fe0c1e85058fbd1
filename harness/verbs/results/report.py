"""`calvinbench report`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from calvinbench.harness.command_line.console import DONE, print_json, report_as_json, tell
from calvinbench.harness.command_line.usage import Example, Usage


@dataclass(frozen=True, slots=True)
class Report:
    """Write tables and figures of runs into a folder, and print the table."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("runs", "report all runs in a folder"),
            Example("runs/demo --out figures", "report the runs of a suite, and write into another folder"),
            Example(
                "runs --published 'ABC->D'", "show published results below the runs (see: calvinbench list published)"
            ),
        ),
        headings={
            "Runs and output": ("directories", "out", "json"),
            "Published results": ("published", "second_hand"),
            "Statistics": ("reference", "intervals", "any_renderer"),
        },
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
        str | None, tyro.conf.arg(metavar="SPLIT", help_behavior_hint="(see: calvinbench list published)")
    ] = None
    """Show published results of a split below the runs, marked as published. For runs on CALVIN's scene D."""
    second_hand: bool = False
    """With --published: also show results from leaderboards and from other papers' reproductions."""
    intervals: Literal["wilson", "exact"] = "wilson"
    """Confidence intervals of rates: Wilson's (Clopper-Pearson's below 200 trials or near 0 and 1), or
    Clopper-Pearson's everywhere."""
    reference: Annotated[str | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="(default: all pairs)")] = None
    """Compare each run with this run only, as in an ablation. Name it by label, policy spec or folder."""
    json: bool = False
    """Print one JSON object instead of the table."""

    def execute(self) -> int:
        """Writes the report."""
        if not self.directories:
            raise ValueError("expected a folder with runs, got none. Such as: calvinbench report runs")
        from calvinbench.harness.report import tables
        from calvinbench.harness.report.published_results import published_results, require_published
        from calvinbench.harness.report.report import write_report

        if self.second_hand and self.published is None:
            raise ValueError(
                "--second-hand has no effect without --published SPLIT. Add --published, or remove --second-hand."
            )
        published = () if self.published is None else require_published(self.published, self.second_hand)
        report = write_report(self.directories, self.out, self.any_renderer, published, self.intervals, self.reference)
        if self.json:
            print_json(report_as_json(report))
        else:
            for part in report.parts:
                if part.title:
                    print(f"{part.title}\n")
                tables.show(part.table)
            hidden = 0 if self.published is None else len(published_results(self.published, True)) - len(published)
            if hidden:
                tell(f"Not shown: {hidden} second-hand rows of {self.published}. Add --second-hand to show them.")
            tell(f"Written: {report.directory} ({len(report.files)} files)")
        return DONE
