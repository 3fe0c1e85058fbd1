"""Runs a policy on a list of chains: the chains that are missing are run, and each is kept as it ends."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from calvinbench.envs.chains import Chain
from calvinbench.harness.evaluation.chosen_chains import all_chains_of, chain_length_of, digest_of_first, num_chains_of
from calvinbench.harness.evaluation.chosen_executor import chosen_executor
from calvinbench.harness.evaluation.describing import described_if_runnable
from calvinbench.harness.evaluation.idle_flags import without_effect
from calvinbench.harness.evaluation.keeping import KeptRun, Subscriber, keep
from calvinbench.harness.execution.ray_cluster import RayOptions
from calvinbench.harness.records.folders import require_writable
from calvinbench.harness.records.old_runs import move_aside
from calvinbench.harness.records.provenance import this_session
from calvinbench.harness.records.records import ERRORED
from calvinbench.harness.records.run_directory import RunWriter
from calvinbench.harness.records.runs import Run, load_run
from calvinbench.harness.records.shards import Shard
from calvinbench.harness.rollout.jobs import make_job
from calvinbench.harness.rollout.videos import remove_partial_videos
from calvinbench.harness.rollout.workers import WorkerSetup

_logger = logging.getLogger(__name__)


def evaluate(
    setup: WorkerSetup,
    directory: Path | str,
    *,
    chains: Sequence[Chain] | None = None,
    worlds: int = 1,
    suite: str | None = None,
    shard: Shard | None = None,
    ray: RayOptions | None = None,
    isolated: bool = False,
    retry_errored: bool = False,
    fail_fast: bool = False,
    overwrite: bool = False,
    subscribers: Sequence[Subscriber] = (),
) -> Run:
    """Runs the unfinished chains of a run.

    Args:
        setup: The run's settings, and how its world and policy are made.
        directory: The run's folder. A run that is there is continued.
        chains: The list of chains, of which the first `setup.settings.chains` are run. They must have one length, not
            necessarily five. None for the published 1000 chains.
        worlds: Worlds that are stepped at once. Several worlds run in processes of their own, each with a copy of the
            policy.
        suite: Name of the suite that the run belongs to.
        shard: The part of the chains to run; None for all.
        ray: The resources of replicas on a Ray cluster; None to run on this machine.
        isolated: Whether a single world also gets a process of its own, as on the command line. Otherwise it runs in
            this process: a crash in native code ends this process, and native code that hangs cannot be stopped. A
            script that starts processes must do so under `if __name__ == "__main__"`.
        retry_errored: Whether errored chains are run again. Each new record replaces the old one.
        fail_fast: Whether the first errored chain stops the run. Chains that ended before are kept.
        overwrite: Whether to start a new run. A run that is in the folder is moved aside first, see `old_runs`.
        subscribers: Informed of each chain.

    Returns:
        The run: complete, except for the chains of other shards.

    Raises:
        UnknownNameError: No such scene or policy.
        ConventionMismatchError: Policy and world do not fit together.
        RunMismatchError: The folder holds another run.
        ValueError: The list has too few chains, or chains of different lengths.
        OnlyErrorsError: `MAX_ERRORS_IN_A_ROW` chains in a row errored for the same reason.
        FirstErrorError: A chain errored, and `fail_fast` is set.
        TypeError: `setup` is not a `WorkerSetup`, but for example a policy.
        OSError: The folder cannot be written.
    """
    _require_setup(setup)
    directory = Path(directory)
    settings = setup.settings
    all_chains = all_chains_of(settings, chains)
    num_chains = num_chains_of(settings, all_chains)
    chain_length_of(all_chains[:num_chains])  # an error here comes before anything slow is made
    require_writable(directory)
    with chosen_executor(setup, max(1, min(worlds, num_chains)), ray, isolated) as executor:
        description = executor.ask(partial(described_if_runnable, all_chains=all_chains, suite=suite))
        if overwrite:
            move_aside(directory)
        with RunWriter(directory, description, this_session(worlds), partial(digest_of_first, all_chains)) as writer:
            finished = {
                record.chain: record
                for record in writer.records
                if not (retry_errored and record.outcome == ERRORED and (shard is None or shard.holds(record.chain)))
            }
            jobs = [
                make_job(number, chain, settings.seed)
                for number, chain in enumerate(all_chains[:num_chains])
                if number not in finished and (shard is None or shard.holds(number))
            ]
            if jobs or not writer.records:
                writer.begin()
            for sentence in without_effect(setup.videos, tuple(finished.values()), len(jobs), retry_errored):
                _logger.warning("%s: %s", description.name, sentence)
            kept = KeptRun(
                description, tuple(finished.values()), len(jobs), directory, subscribers, fail_fast, executor.positions
            )
            with _no_partial_videos(setup):
                keep(writer, kept, executor.run(jobs))
    return load_run(directory)


def _require_setup(setup: Any) -> None:
    if isinstance(setup, WorkerSetup):
        return
    raise TypeError(
        f"expected a WorkerSetup, got {type(setup).__name__}. Name the policy by its spec, because each process makes "
        "its own policy: evaluate(WorkerSetup(RunSettings('python:my_module:make_policy')), Path('runs/mine')), where "
        "make_policy() in my_module.py returns the policy."
    )


@contextmanager
def _no_partial_videos(setup: WorkerSetup) -> Iterator[None]:
    """Deletes unfinished videos before and after a run; killed processes leave them."""
    if setup.videos is None:
        yield
        return
    remove_partial_videos(setup.videos.folder)
    try:
        yield
    finally:
        remove_partial_videos(setup.videos.folder)
