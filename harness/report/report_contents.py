"""What a report was made of: kept beside it, to see whether it is up to date, and to make it again."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from calvinbench.harness.analysis.methods import Seeds
from calvinbench.harness.analysis.statistics import Intervals
from calvinbench.harness.records.folders import write_text_atomically
from calvinbench.harness.records.run_directory import CHAINS_FILE, RUN_FILE
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.published_results import PublishedResult
from calvinbench.harness.report.tables.style import TableStyle

CONTENTS_FILE = "report.json"


@dataclass(frozen=True, slots=True)
class ReportContents:
    """What went into a report.

    Attributes:
        runs: The runs' folders, as they are found from the report's.
        any_renderer: Whether runs with different images may be in one table.
        published: The split of the published rows; None without any.
        second_hand: Whether second-hand rows are among them.
        intervals: The kind of confidence interval around rates.
        reference: The method that each other was compared with; None for all pairs.
        labels: New names of methods by old ones.
        seeds: Whether training seeds of one recipe are one method.
        style: The look of tables.
    """

    runs: tuple[str, ...]
    any_renderer: bool = False
    published: str | None = None
    second_hand: bool = False
    intervals: Intervals = "wilson"
    reference: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    seeds: Seeds = "mean"
    style: TableStyle = field(default_factory=TableStyle)

    @classmethod
    def of(
        cls,
        runs: Iterable[Run],
        report: Path,
        any_renderer: bool,
        published: Sequence[PublishedResult],
        intervals: Intervals,
        reference: str | None,
        labels: Mapping[str, str] | None = None,
        seeds: Seeds = "mean",
        style: TableStyle | None = None,
    ) -> "ReportContents":
        """What a report in the folder `report` would be made of; see `write_report`."""
        folders = [Path(os.path.relpath(run.directory.resolve(), report.resolve())).as_posix() for run in runs]
        split = published[0].split if published else None
        second_hand = any(result.is_second_hand for result in published)
        return cls(
            *(tuple(sorted(folders)), any_renderer, split, second_hand, intervals, reference),
            *(dict(labels or {}), seeds, style or TableStyle()),
        )

    def write(self, report: Path) -> Path:
        """Writes it into the report's folder; returns the file."""
        path = report / CONTENTS_FILE
        write_text_atomically(path, json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")
        return path


def read_contents(report: Path) -> ReportContents | None:
    """What a report was made of; None if there is no report, or none that can be read."""
    try:
        said = json.loads((report / CONTENTS_FILE).read_text("utf-8"))
        style = said.get("style", {})
        many = {name: tuple(style[name]) for name in ("columns", "order") if isinstance(style.get(name), list)}
        return ReportContents(**said | {"runs": tuple(said["runs"]), "style": TableStyle(**style | many)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_newer_than(report: Path, runs: Iterable[Run]) -> bool:
    """Whether a report was written after the last chain of some runs."""
    written = (report / CONTENTS_FILE).stat().st_mtime_ns
    files = [run.directory / name for run in runs for name in (RUN_FILE, CHAINS_FILE)]
    return all(file.stat().st_mtime_ns < written for file in files if file.exists())
