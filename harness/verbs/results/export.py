"""`calvinbench export`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from calvinbench.harness.command_line.console import DONE, print_json
from calvinbench.harness.command_line.usage import Example, Usage


@dataclass(frozen=True, slots=True)
class Export:
    """Write results for other programs: CSV or Parquet with one row per subtask, or CALVIN's own results.json."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("runs", "write one row per subtask into subtasks.csv"),
            Example("runs --form calvin --out results.json", "write the file that CALVIN's evaluation writes"),
        )
    )

    directories: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DIR ...")]
    """Folders of runs, or folders that hold several."""
    form: Literal["csv", "parquet", "calvin"] = "csv"
    """File format: csv, parquet (needs pyarrow), or calvin for CALVIN's results.json."""
    out: Annotated[
        Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: subtasks.csv or the like, here)")
    ] = None
    """The file to write."""
    json: bool = False
    """Print one JSON object instead of the path."""

    def execute(self) -> int:
        """Writes the file."""
        if not self.directories:
            raise ValueError("expected folders with runs, got none. Such as: calvinbench export runs --form parquet")
        from calvinbench.harness.records.runs import find_runs
        from calvinbench.harness.report.export import FORMS, export

        runs = find_runs(*self.directories)
        path = export(runs, self.form, self.out or Path(FORMS[self.form][0]))
        if self.json:
            print_json({"file": str(path), "form": self.form, "runs": len(runs)})
        else:
            print(path)
        return DONE
