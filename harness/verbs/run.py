"""`calvinbench run`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from calvinbench.harness.command_line.console import (
    DONE,
    FAILED,
    print_json,
    run_as_json,
    standard_output_for_results,
    tell,
)
from calvinbench.harness.command_line.setting_flags import given_settings, with_setting_flags
from calvinbench.harness.command_line.usage import Example, Usage
from calvinbench.harness.evaluation.stopping import stopped_as_by_ctrl_c
from calvinbench.harness.suite.reading import load_suite, shipped_suites
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.harness.suite.suite import Suite

if TYPE_CHECKING:
    from calvinbench.harness.records.runs import Run as FinishedRun


@dataclass(frozen=True, slots=True)
@with_setting_flags(RunSettings, Suite)
class Run:
    """Run policies on chains of tasks. Every finished chain is kept: run the same command again to resume."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("--policy expert --policy random --chains 20", "run two policies on the first 20 chains"),
            Example(
                "--policy checkpoint:trained/checkpoint --worlds 4",
                "run a trained policy on all 1000 chains, four worlds at once",
            ),
            Example(
                "--policy calvin:my_model:MyModel --scene D", "run a model with CALVIN's interface on CALVIN's scene D"
            ),
            Example("demo", "run a suite that ships (see: calvinbench list suites)"),
        ),
        headings={
            "What is run": ("suite", "policy", "chains", "tasks", "max_steps", "scene", "instructions", "seed"),
            "Policy": ("train", "memory_reset", "memory_span"),
            "Output": ("out", "name", "overwrite", "videos", "json"),
            "Speed and machines": (
                *("worlds", "batch_size", "shard", "executor", "ray_address", "cpus_per_replica", "gpus_per_replica"),
            ),
            "Errors": ("fail_fast", "step_timeout", "retry_errored"),
            "Simulation and rendering": (
                *("simulation", "renderer", "depth_bits", "static_size", "gripper_size", "calvin_env", "calvin"),
            ),
        },
    )

    suite: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[SUITE]", help_behavior_hint="")] = None
    """Name of a suite that ships, or path of a suite's YAML file. Flags take precedence over the suite's values."""
    policy: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="SPEC")] = ()
    """Policy to run, as KIND:ARGUMENT[,key=value...], such as expert, random or untrained:kosmos2."""
    retry_errored: bool = False
    """Run the chains that errored again, after you fixed the cause. Their old lines move to replaced.jsonl."""
    overwrite: bool = False
    """Start again from the first chain. An existing run is moved to NAME.old-TIME beside its folder."""
    name: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: from the policy)")] = None
    """Name of the run's folder, for a single policy."""
    json: bool = False
    """Print one JSON object instead of the table."""

    def execute(self) -> int:
        """Runs the missing chains and prints the table."""
        suite = self._suite()
        runs = evaluate(suite, self.retry_errored, self.overwrite)
        num_errored = sum(run.num_errored for run in runs)
        if self.json:
            print_json({"out": str(suite.parent), "runs": [run_as_json(run) for run in runs]})
        else:
            from calvinbench.harness.report import tables
            from calvinbench.harness.report.report import gather, joint_table

            tables.show_table(joint_table(gather(runs)))
            if num_errored:
                tell(f"Chains that errored: {num_errored}. Add --retry-errored to the same command to run them again.")
            tell(f"The runs are in {suite.parent}. For tables and figures: calvinbench report {suite.parent}")
        return status(runs)

    def _suite(self) -> Suite:
        """The suite, with the values of flags in place of its own."""
        flags = given_settings(self, RunSettings, Suite)
        flags |= {"run_name": self.name} if self.name is not None else {}
        if self.suite is None:
            if not self.policy:
                raise ValueError(
                    f"expected a suite or --policy SPEC, got neither. Shipped suites: {', '.join(shipped_suites())}."
                )
            return Suite.of(policy=self.policy, **flags)
        if self.policy:
            raise ValueError(f"expected a suite or --policy, got both: suite '{self.suite}' names its own policies.")
        return load_suite(self.suite).with_values(**flags)


def evaluate(suite: Suite, retry_errored: bool = False, overwrite: bool = False) -> "tuple[FinishedRun, ...]":
    """Runs a suite with progress on standard error. Names are checked before anything heavy is imported."""
    from calvinbench.harness.evaluation.keeping import Subscriber
    from calvinbench.harness.evaluation.suite_checks import require_known_names
    from calvinbench.harness.evaluation.suite_evaluation import evaluate_suite
    from calvinbench.harness.progress.action_alarm import ActionAlarm
    from calvinbench.harness.progress.progress import LiveProgress, planned_runs
    from calvinbench.harness.records.folders import require_writable

    require_writable(suite.parent)
    require_known_names(suite)
    with (
        stopped_as_by_ctrl_c(),
        standard_output_for_results(),
        LiveProgress(planned=planned_runs(suite)) as progress,
    ):
        subscribers: tuple[Subscriber, ...] = (progress, ActionAlarm())
        return evaluate_suite(suite, subscribers, isolated=True, retry_errored=retry_errored, overwrite=overwrite)


def status(runs: "Sequence[FinishedRun]") -> int:
    """The exit status: failed if too many chains errored for a meaningful table."""
    from calvinbench.harness.analysis.comparable import has_too_many_errors

    return FAILED if any(has_too_many_errors(run) for run in runs) else DONE
