"""Output of commands: results on standard output, with `--json` as one object; everything else on standard error."""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from calvinbench.envs.system.redirection import STDERR, STDOUT, redirected

if TYPE_CHECKING:
    from calvinbench.harness.analysis.statistics import Intervals
    from calvinbench.harness.records.runs import Run
    from calvinbench.harness.report.report import Report

DONE, FAILED, WRONG_CALL = 0, 1, 2
"""Exit statuses: done; ran and failed; wrong call."""


def tell(words: str) -> None:
    """Prints a message that is not the result."""
    print(words, file=sys.stderr)


@contextmanager
def standard_output_for_results() -> Iterator[None]:
    """Redirects what policies print to standard error, including the output of native code."""
    with redirected(STDOUT, STDERR):
        yield


def report_as_json(report: "Report") -> dict[str, Any]:
    """The content of a report, for `--json`."""
    files = [str(file) for file in report.files]
    return {
        "report": str(report.directory),
        "files": files,
        "runs": [run_as_json(run, part.table.intervals) for part in report.parts for run in part.runs],
    }


def run_as_json(run: "Run", intervals: "Intervals" = "wilson") -> dict[str, Any]:
    """The content of a run, for `--json`."""
    from calvinbench.harness.analysis.actions.action_watch import findings_of_run
    from calvinbench.harness.analysis.summaries import (
        summarize,
    )  # the import takes a second, and not every command needs it

    summary, description = summarize(run, intervals), run.description
    return {
        "policy": description.policy,
        "label": description.label,
        "train": description.train,
        "privileged": description.privileged,
        "official": asdict(description.official),
        "directory": str(run.directory),
        "scene": description.scene,
        "calvin_env": description.calvin_env,
        "simulation": description.simulation,
        "renderer": description.renderer,
        "max_steps": description.max_steps,
        "instructions": description.instructions,
        "chains": description.chains,
        "finished": len(run.records),
        "errored": run.num_errored,
        "actions_look_wrong": list(findings_of_run(run)),
        "success": [{"rate": rate.rate, **asdict(rate)} for rate in summary.success],
        "average_length": asdict(summary.average_length),
        "clustered_average_length": asdict(summary.clustered),
        "initial_states": summary.num_states,
    }


def print_json(content: dict[str, Any]) -> None:
    """Prints one object on standard output."""
    print(json.dumps(_without_nan(content), indent=2, ensure_ascii=False, allow_nan=False))


def _without_nan(content: Any) -> Any:
    """Replaces NaN, the rate of a run without chains, by null, because JSON has no NaN."""
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content
