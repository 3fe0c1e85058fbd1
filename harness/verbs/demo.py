"""`calvinbench demo`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from calvinbench.harness.command_line.console import print_json, report_as_json
from calvinbench.harness.command_line.usage import Example, Usage
from calvinbench.harness.suite.reading import load_suite
from calvinbench.harness.suite.suite import Suite
from calvinbench.harness.verbs.run import evaluate, status

DEMO_OUT = Path("calvinbench-demo")


@dataclass(frozen=True, slots=True)
class Demo:
    """Show the main job in a few minutes, offline: evaluate four policies, write a table and figures."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("", "run the demo and write into calvinbench-demo/"),
            Example("--worlds 4", "step four worlds at once, on four cores"),
        )
    )

    out: Path = DEMO_OUT
    """Output folder."""
    worlds: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the suite's)")] = None
    """Number of worlds stepped at once. This does not affect results."""
    json: bool = False
    """Print one JSON object instead of the table."""

    def execute(self) -> int:
        """Runs the demo's suite and reports it."""
        suite = replace(load_suite("demo"), out=self.out)
        suite = replace(suite, worlds=self.worlds) if self.worlds is not None else suite
        was_done = self._is_done(suite)
        evaluate(suite)
        from calvinbench.harness.report import tables
        from calvinbench.harness.report.report import write_report

        report = write_report([suite.directory(run) for run in suite.runs], suite.parent / "report")
        if self.json:
            print_json(report_as_json(report))
            return status(report.runs)
        if was_done:
            print(f"The demo ran before: its chains are in {suite.parent}. Delete that folder to run it again.\n")
        tables.show_table(report.table, more="More: table.md.")
        print(
            "An untrained policy has random weights and scores near zero. It shows that all parts work together.\n"
            "checkpoint:cnn ships with calvinbench: convolutions, [LRN] and an LSTM, without a VLM. It was trained on "
            "a CPU. Use it as the reference for your own VLM.\n"
            "The expert reads the simulator's state. It shows that the tasks can be solved, and cannot be compared "
            "with learned policies.\n"
        )
        print(f"Written: {suite.parent} ({len(suite.runs)} runs), {report.directory} ({len(report.files)} files)")
        print(f"Open the page: calvinbench view {suite.parent}")
        return status(report.runs)

    @staticmethod
    def _is_done(suite: Suite) -> bool:
        from calvinbench.harness.records.run_directory import CHAINS_FILE
        from calvinbench.harness.records.stored_chains import read_chains

        return all(len(read_chains(suite.directory(run) / CHAINS_FILE).records) >= run.chains for run in suite.runs)
