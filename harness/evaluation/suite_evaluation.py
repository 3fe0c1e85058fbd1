"""Runs all policies of a suite, after checking that each of them can run."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from calvinbench.envs.chains import Chain
from calvinbench.harness.evaluation.chosen_chains import all_chains_of, digest_of_first
from calvinbench.harness.evaluation.describing import described_if_runnable, require_runnable_chains
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.evaluation.keeping import Subscriber
from calvinbench.harness.evaluation.problems import Problems
from calvinbench.harness.evaluation.suite_checks import ray_options
from calvinbench.harness.execution.executors import QuestionProcess
from calvinbench.harness.execution.questions import answered_by_new_worker
from calvinbench.harness.records.description import RunDescription
from calvinbench.harness.records.errored_chains import OnlyErrorsError
from calvinbench.harness.records.run_directory import RUN_FILE, continued, read_description
from calvinbench.harness.records.runs import Run
from calvinbench.harness.records.shards import Shard
from calvinbench.harness.rollout.videos import VIDEOS_FOLDER, VideoSettings
from calvinbench.harness.rollout.workers import Worker, WorkerSetup
from calvinbench.harness.suite.suite import Suite


def evaluate_suite(
    suite: Suite,
    subscribers: Sequence[Subscriber] = (),
    *,
    isolated: bool = False,
    retry_errored: bool = False,
    overwrite: bool = False,
) -> tuple[Run, ...]:
    """Runs all policies of a suite, one after another. See `evaluate` for the arguments.

    An error in any policy is reported before the first chain, because all policies are made once. If a run is stopped
    because all its chains err, the other runs go on. If `fail_fast` stops a run, the suite ends.

    Raises:
        OnlyErrorsError: Some runs were stopped; the other runs are complete.
        ProblemsError: Several policies cannot be run; the message explains each problem.
        Exception: Anything else that `evaluate` raises.
    """
    shard = None if suite.shard is None else Shard.parse(suite.shard)
    setups = {suite.directory(run): WorkerSetup(run) for run in suite.runs}
    if shard is not None:
        setups = {shard.folder(directory): setup for directory, setup in setups.items()}
    if suite.videos is not None:
        setups = {
            directory: replace(setup, videos=VideoSettings(directory / VIDEOS_FOLDER, str(suite.videos)))
            for directory, setup in setups.items()
        }
    if len(setups) > 1:
        problems = Problems()
        with QuestionProcess() if isolated else nullcontext() as process:
            for directory, setup in setups.items():
                with problems.collected(setup.settings.policy):
                    require_runnable(setup, directory, overwrite=overwrite, process=process)
        problems.require_none()
    runs, stopped = [], []
    for directory, setup in setups.items():
        try:
            run = evaluate(
                setup,
                directory,
                worlds=suite.worlds,
                suite=suite.name,
                shard=shard,
                ray=ray_options(suite),
                isolated=isolated,
                retry_errored=retry_errored,
                fail_fast=suite.fail_fast,
                overwrite=overwrite,
                subscribers=subscribers,
            )
        except OnlyErrorsError as error:
            stopped.append(str(error))
        else:
            runs.append(run)
    if stopped:
        raise OnlyErrorsError("\n".join(stopped))
    return tuple(runs)


def require_runnable(
    setup: WorkerSetup, directory: Path, *, overwrite: bool = False, process: QuestionProcess | None = None
) -> None:
    """Makes policy and world and compares them with the run in the folder. It runs and writes nothing.

    Args:
        setup: What they are made from.
        directory: The run's folder.
        overwrite: Whether a run in the folder will be moved aside, so that it need not be the same run.
        process: Where they are made; None for this process.

    Raises:
        Exception: As `evaluate` does.
    """
    all_chains = all_chains_of(setup.settings, None)
    is_continued = (directory / RUN_FILE).exists() and not overwrite
    question = partial(_described_if_continued, all_chains=all_chains, is_continued=is_continued)
    description = answered_by_new_worker(setup, question) if process is None else process.ask(setup, question)
    if description is not None:
        continued(read_description(directory), description, partial(digest_of_first, all_chains), directory)


def _described_if_continued(worker: Worker, all_chains: Sequence[Chain], is_continued: bool) -> RunDescription | None:
    """Checks a run. Only one that goes on is described, because that costs an image."""
    if is_continued:
        return described_if_runnable(worker, all_chains, suite=None)
    require_runnable_chains(worker, all_chains)
    return None
