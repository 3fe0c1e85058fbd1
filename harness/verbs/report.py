"""`calvinbench report`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from calvinbench.harness.verbs.console import DONE, print_json, report_as_json, tell


@dataclass(frozen=True, slots=True)
class Report:
    """Write tables and figures of runs into a folder, and print the table."""

    directories: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs, or folders that hold several."""
    out: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: report, beside the runs)")
    ] = None
    """The report's folder."""
    any_renderer: bool = False
    """Compare runs of different renderers too."""
    json: bool = False
    """Print one JSON object instead of the table."""

    def execute(self) -> int:
        """Writes the report."""
        if not self.directories:
            raise ValueError("expected a folder with runs, got none. Such as: calvinbench report runs")
        from calvinbench.harness import tables
        from calvinbench.harness.report import write_report

        report = write_report(self.directories, self.out, any_renderer=self.any_renderer)
        if self.json:
            print_json(report_as_json(report))
        else:
            tables.show(report.runs)
            tell(f"Written: {', '.join(str(file) for file in report.files)}")
        return DONE
