"""`calvinbench report`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from calvinbench.harness.command_line.console import DONE, print_json, report_as_json, tell
from calvinbench.harness.command_line.usage import Example, Usage
from calvinbench.harness.verbs.results.renames import read_renames


@dataclass(frozen=True, slots=True)
class Report:
    """Write tables and figures of runs into a folder, and print the table."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("runs", "report all runs in a folder"),
            Example("runs/demo --out figures", "report the runs of a suite, and write into another folder"),
            Example("runs --rename cnn=CNN --columns 1,5,avg", "choose names and columns"),
            Example(
                "runs --published 'ABC->D'", "show published results below the runs (see: calvinbench list published)"
            ),
        ),
        headings={
            "Runs and output": ("directories", "out", "formats", "no_page", "json"),
            "Published results": ("published", "second_hand"),
            "Names and tables": (
                *("rename", "seeds", "columns", "order", "interval_style", "precision", "significance"),
            ),
            "Statistics": ("reference", "intervals", "any_renderer"),
        },
    )

    directories: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DIR ...")]
    """Folders of runs, or folders that hold several."""
    out: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: report, beside the runs)")
    ] = None
    """The report's folder."""
    formats: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FORMAT ...")] = ("pdf", "svg", "png")
    """Formats of the figures' files: pdf, svg, png, or none."""
    no_page: bool = False
    """Do not write the page, index.html."""
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
    """Compare each method with this one only, as in an ablation. Give its name, policy spec or folder."""
    rename: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="OLD=NEW")] = ()
    """Another name for a method, given by its name, policy spec or folder. Repeat the flag for several."""
    seeds: Literal["mean", "each"] = "mean"
    """Training seeds of one recipe: one row with their mean, or a row each."""
    columns: Annotated[
        str | None, tyro.conf.arg(metavar="NAMES", help_behavior_hint="(default: rates, average, what differs)")
    ] = None
    """Columns of the table, separated by commas: 1, 2, ..., avg, n, errors, steps, or attributes such as size, memory,
    train and seeds."""
    order: Annotated[str | None, tyro.conf.arg(metavar="NAMES", help_behavior_hint="(default: as run)")] = None
    """Order of the rows: names of methods, separated by commas, or success for the best first."""
    interval_style: Literal["brackets", "below", "pm", "none"] = "brackets"
    """How intervals are shown: beside the numbers, below them, as plus-minus, or not at all."""
    precision: int = 1
    """Digits of percentages behind the point. Average lengths have one more."""
    significance: Literal["marks", "letters", "none"] = "marks"
    """Mark what is not significantly different from the best, or give such methods a common letter."""
    json: bool = False
    """Print one JSON object instead of the table."""

    def execute(self) -> int:
        """Writes the report."""
        if not self.directories:
            raise ValueError("expected a folder with runs, got none. Such as: calvinbench report runs")
        from calvinbench.harness.report import tables
        from calvinbench.harness.report.published_results import published_results, require_published
        from calvinbench.harness.report.report import write_report
        from calvinbench.harness.report.tables.style import TableStyle, as_columns, as_order

        if self.second_hand and self.published is None:
            raise ValueError(
                "--second-hand has no effect without --published SPLIT. Add --published, or remove --second-hand."
            )
        published = () if self.published is None else require_published(self.published, self.second_hand)
        style = TableStyle(
            as_columns(self.columns), as_order(self.order), self.interval_style, self.precision, self.significance
        )
        report = write_report(
            self.directories,
            self.out,
            self.any_renderer,
            published,
            self.intervals,
            self.reference,
            formats=() if self.formats == ("none",) else self.formats,
            has_page=not self.no_page,
            labels=read_renames(self.rename),
            seeds=self.seeds,
            style=style,
        )
        if self.json:
            print_json(report_as_json(report))
        else:
            tables.show_table(report.table, more="More: table.md.")
            hidden = 0 if self.published is None else len(published_results(self.published, True)) - len(published)
            if hidden:
                tell(f"Not shown: {hidden} second-hand rows of {self.published}. Add --second-hand to show them.")
            tell(f"Written: {report.directory} ({len(report.files)} files)")
        return DONE
