"""`calvinbench run`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from calvinbench.harness.command_line.console import (
    DONE,
    FAILED,
    print_json,
    run_as_json,
    standard_output_for_results,
    tell,
)
from calvinbench.harness.command_line.usage import Example, Usage
from calvinbench.harness.evaluation.stopping import stopped_as_by_ctrl_c
from calvinbench.harness.suite.suite import Suite, load_suite, shipped_suites

if TYPE_CHECKING:
    from calvinbench.harness.records.runs import Run as FinishedRun


@dataclass(frozen=True, slots=True)
class Run:
    """Run policies on chains of tasks and keep every finished chain; the same command again goes on."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("--policy expert --policy random --chains 20", "two policies on the first 20 chains"),
            Example("--policy checkpoint:trained/checkpoint --worlds 4", "a trained policy on all 1000 chains"),
            Example("--policy calvin:my_model:MyModel --scene D", "a model with CALVIN's interface, on its scene D"),
            Example("demo", "a suite that ships (list suites)"),
        ),
        headings={
            "What is run": ("suite", "policy", "chains", "tasks", "max_steps", "scene", "instructions", "seed"),
            "Policy": ("train", "memory_reset", "memory_span"),
            "Output": ("out", "name", "overwrite", "videos", "json"),
            "Speed and machines": (
                *("worlds", "batch_size", "shard", "executor", "ray_address", "cpus_per_replica", "gpus_per_replica"),
            ),
            "Errors": ("fail_fast", "step_timeout", "retry_errored"),
            "Simulation and rendering": ("simulation", "renderer", "depth_bits", "calvin_env", "calvin"),
        },
    )

    suite: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[SUITE]", help_behavior_hint="")] = None
    """A shipped suite's name, or the path of a suite's YAML file. Flags given beside it take precedence."""
    policy: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="SPEC")] = ()
    """A policy's spec KIND:ARGUMENT[,key=value...], such as expert, random, untrained:kosmos2; again for more."""
    scene: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: embedded)")] = None
    """Scene, one of `calvinbench list scenes`."""
    chains: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 1000)")] = None
    """The first N of the published chains."""
    tasks: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="TASK ...", help_behavior_hint="")] = None
    """Run each of these tasks, or all, alone, from N of the states that allow it (--chains N), instead of chains."""
    max_steps: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 360)")] = None
    """Steps for each subtask."""
    worlds: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 1)")] = None
    """Worlds stepped at once; this does not affect results."""
    train: Annotated[str | None, tyro.conf.arg(metavar="SPLIT", help_behavior_hint="(default: as the policy says)")] = (
        None
    )
    """What the policy was trained on, such as ABC, for the table's column Train."""
    executor: Annotated[Literal["local", "ray"] | None, tyro.conf.arg(help_behavior_hint="(default: local)")] = None
    """Where worlds and policies run: on this machine, or on a Ray cluster."""
    ray_address: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="")] = None
    """The cluster's address (default: RAY_ADDRESS); without one, a cluster is started on this machine."""
    cpus_per_replica: Annotated[float | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 1)")] = None
    """Processors that a replica of the policy takes on a cluster, with its worlds."""
    gpus_per_replica: Annotated[float | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 0)")] = None
    """GPUs that a replica takes; 0.5 puts two on each."""
    videos: Annotated[str | None, tyro.conf.arg(metavar="WHICH", help_behavior_hint="")] = None
    """Record videos of chains: all, failures, or the first N; in videos/ of the run's folder. Default: none."""
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N", help_behavior_hint="")] = None
    """Run part I of N of the chains, for schedulers such as Slurm; calvinbench merge puts the parts together."""
    batch_size: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 1)")] = None
    """Worlds that one policy answers at once, for large models; 1 gives each world a copy of the policy."""
    step_timeout: Annotated[float | None, tyro.conf.arg(metavar="S", help_behavior_hint="(default: 600)")] = None
    """Seconds that a policy, or a world, may take for one step, 0 for any number; longer makes the chain errored."""
    seed: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 0)")] = None
    """Random seed."""
    memory_reset: Annotated[
        Literal["subtask", "chain"] | None,
        tyro.conf.arg(metavar="{subtask,chain}", help_behavior_hint="(default: as the policy has it)"),
    ] = None
    """When memory is cleared."""
    memory_span: Annotated[
        str | None, tyro.conf.arg(metavar="SPAN", help_behavior_hint="(default: as the policy has it)")
    ] = None
    """How far learned policies look back: unbounded, window:N or none."""
    calvin_env: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: CALVIN_ENV_ROOT, or as installed)")
    ] = None
    """Checkout of calvin_env, for CALVIN's scenes A to D."""
    calvin: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: CALVIN_ROOT, or near calvin_env)")
    ] = None
    """Checkout of calvin, for CALVIN's sentences."""
    simulation: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: reproducible)")] = (
        None
    )
    """reproducible: an episode is bit-identical whatever came before; parity: bit-identical to a fresh calvin_env;
    upstream: calvin_env's own simulator."""
    instructions: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: auto)")] = None
    """auto, calvinbench (ours), calvinbench-training or -held-out (one of our wordings a subtask, seen in training or
    not), calvin (CALVIN's), calvin-training (its wordings), or the path of a YAML or JSON file of sentences."""
    renderer: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: opengl-look)")] = None
    """opengl-look (the images of CALVIN's data, on the CPU), bullet-egl (PyBullet's OpenGL), or bullet-tiny."""
    depth_bits: Annotated[
        Literal[16, 24] | None,
        tyro.conf.arg(metavar="{16,24}", help_behavior_hint="(default: 16 on CALVIN's scenes, 24 on ours)"),
    ] = None
    """Bits of opengl-look's depth buffer: 16 as the Mesa driver gives to Bullet, 24 as a GPU's driver may."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: runs)")] = None
    """Parent of the runs' folders."""
    retry_errored: bool = False
    """Run chains that errored again, after fixing the cause; their old lines go to replaced.jsonl."""
    fail_fast: bool = False
    """Stop at the first chain that errors, with exit status 1; what ended before is kept."""
    overwrite: bool = False
    """Begin anew: a run that is in the folder already is moved aside, to NAME.old-TIME beside it."""
    name: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: from the policy)")] = None
    """Name of the run's folder, for a single policy."""
    json: bool = False
    """Print one JSON object instead of the table."""

    def execute(self) -> int:
        """Runs what is missing and prints the table."""
        suite = self._suite()
        runs = evaluate(suite, self.retry_errored, self.overwrite)
        num_errored = sum(run.num_errored for run in runs)
        if self.json:
            print_json({"out": str(suite.parent), "runs": [run_as_json(run) for run in runs]})
        else:
            from calvinbench.harness.analysis.comparable import groups
            from calvinbench.harness.analysis.comparison import compare_if_possible
            from calvinbench.harness.report import tables
            from calvinbench.harness.report.table_input import TableInput

            for group in groups(runs):
                if group.title:
                    print(f"{group.title}\n")
                tables.show(TableInput.of(group.runs, comparison=compare_if_possible(group.runs)))
            if num_errored:
                tell(f"Chains that errored: {num_errored}. The same command with --retry-errored runs them again.")
            tell(f"Kept in {suite.parent}. Figures and tables: calvinbench report {suite.parent}")
        return status(runs)

    def _suite(self) -> Suite:
        """The suite's settings with the flags laid over them."""
        names = (
            *("scene", "chains", "tasks", "max_steps", "worlds", "videos", "shard", "batch_size", "step_timeout"),
            *("executor", "ray_address", "cpus_per_replica", "gpus_per_replica"),
            *(
                "seed",
                "memory_reset",
                "memory_span",
                "simulation",
                "instructions",
                "renderer",
                "depth_bits",
                "train",
                "out",
            ),
        )
        flags: dict[str, Any] = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        folders = {"calvin_env": self.calvin_env, "calvin": self.calvin}
        flags |= {name: str(folder) for name, folder in folders.items() if folder is not None}
        flags |= {"fail_fast": True} if self.fail_fast else {}
        flags |= {"run_name": self.name} if self.name is not None else {}
        if self.suite is None:
            if not self.policy:
                raise ValueError(
                    f"expected a suite or --policy SPEC, got neither. Shipped suites: {', '.join(shipped_suites())}."
                )
            return Suite(policy=self.policy, **flags)
        if self.policy:
            raise ValueError(f"expected a suite or --policy, got both: suite '{self.suite}' names its own policies.")
        return replace(load_suite(self.suite), **flags)


def evaluate(suite: Suite, retry_errored: bool = False, overwrite: bool = False) -> "tuple[FinishedRun, ...]":
    """Runs a suite with progress on standard error; names are looked at before anything heavy is imported."""
    from calvinbench.harness.evaluation.evaluation import evaluate_suite
    from calvinbench.harness.evaluation.keeping import Subscriber
    from calvinbench.harness.evaluation.suite_checks import require_known_names
    from calvinbench.harness.progress.action_alarm import ActionAlarm
    from calvinbench.harness.progress.progress import LiveProgress, planned_runs
    from calvinbench.harness.records.run_directory import require_writable

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
    """Failed where so many chains errored that the table means nothing."""
    from calvinbench.harness.analysis.comparable import has_too_many_errors

    return FAILED if any(has_too_many_errors(run) for run in runs) else DONE
