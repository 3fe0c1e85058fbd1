"""Runs a policy on a list of chains: the chains that are missing are run, and each is kept as it ends."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from calvinbench.envs import chains as chain_lists
from calvinbench.envs.chains import Chain
from calvinbench.envs.instructions import InstructionSet
from calvinbench.envs.task_chains import single_task_chains
from calvinbench.envs.world import traits_of
from calvinbench.harness.evaluation.idle_flags import without_effect
from calvinbench.harness.evaluation.keeping import KeptRun, Subscriber, keep
from calvinbench.harness.evaluation.problems import Problems
from calvinbench.harness.evaluation.suite_checks import ray_options
from calvinbench.harness.execution.batched_execution import require_batched, run_batched
from calvinbench.harness.execution.executors import run_in_process, run_in_processes
from calvinbench.harness.execution.ray_cluster import RayOptions
from calvinbench.harness.execution.ray_execution import run_on_ray
from calvinbench.harness.records.description import RunDescription, judge_official, unlike_training
from calvinbench.harness.records.errored_chains import OnlyErrorsError
from calvinbench.harness.records.old_runs import move_aside
from calvinbench.harness.records.provenance import this_session
from calvinbench.harness.records.records import ERRORED, ChainRecord
from calvinbench.harness.records.reference_frame import reference_frame
from calvinbench.harness.records.run_directory import RUN_FILE, RunWriter, continued, read_description, require_writable
from calvinbench.harness.records.runs import Run, load_run
from calvinbench.harness.records.shards import Shard
from calvinbench.harness.rollout.jobs import ChainJob, make_job
from calvinbench.harness.rollout.positions import Positions
from calvinbench.harness.rollout.videos import VIDEOS_FOLDER, VideoSettings, remove_partial_videos
from calvinbench.harness.rollout.workers import Worker, WorkerSetup, World
from calvinbench.harness.suite.declared_policy import NOT_TRAINED
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.harness.suite.suite import Suite
from calvinbench.policies.adapters.source_digest import source_digest
from calvinbench.policies.policy import PolicyTraits, TrainedOn
from calvinbench.policies.spec import kind_of

_logger = logging.getLogger(__name__)


class ConventionMismatchError(ValueError):
    """A policy and a world do not fit together."""


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
    all_chains = _all_chains(settings, chains)
    num_chains = _num_chains(settings, all_chains)
    chain_length = _chain_length(all_chains[:num_chains])  # an error here comes before anything slow is made
    require_writable(directory)
    worker = Worker(setup)
    try:
        _require_runnable_worker(worker, settings, num_chains, chain_length)
        description = describe(settings, worker, all_chains, suite)
        if overwrite:
            move_aside(directory)
        with RunWriter(directory, description, this_session(worlds), partial(_digest_of_first, all_chains)) as writer:
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
            positions = Positions(max(1, min(worlds, len(jobs)))) if ray is None else None
            kept = KeptRun(
                description, tuple(finished.values()), len(jobs), directory, subscribers, fail_fast, positions
            )
            with _no_partial_videos(setup):
                keep(writer, kept, _execute(setup, worker, jobs, worlds, ray, isolated, positions))
    finally:
        worker.close()
    return load_run(directory)


def _require_setup(setup: Any) -> None:
    if isinstance(setup, WorkerSetup):
        return
    raise TypeError(
        f"expected a WorkerSetup, got {type(setup).__name__}. Name the policy by its spec, because each process makes "
        "its own policy: evaluate(WorkerSetup(RunSettings('python:my_module:make_policy')), Path('runs/mine')), where "
        "make_policy() in my_module.py returns the policy."
    )


def _all_chains(settings: RunSettings, chains: Sequence[Chain] | None) -> tuple[Chain, ...]:
    """The list of which the first chains are run."""
    if settings.tasks:
        return single_task_chains(settings.tasks, settings.chains)
    return tuple(chain_lists.published() if chains is None else chains)


def _num_chains(settings: RunSettings, all_chains: Sequence[Chain]) -> int:
    """How many chains to run. With single tasks it is all of them, because `chains` counts the states of each task."""
    if settings.tasks:
        return len(all_chains)
    if settings.chains > len(all_chains):
        raise ValueError(
            f"expected chains of at most {len(all_chains)}, the length of the list, got {settings.chains}."
        )
    return settings.chains


def _chain_length(chains: Sequence[Chain]) -> int | None:
    """The number of subtasks in each chain; None without chains.

    Raises:
        ValueError: The chains differ in length, so that rates and average lengths over them would have no meaning.
    """
    lengths = {len(chain.subtasks): number for number, chain in reversed(tuple(enumerate(chains)))}
    if len(lengths) > 1:
        listed = ", ".join(f"{length} (first chain {number})" for length, number in sorted(lengths.items()))
        raise ValueError(
            f"expected chains of one length, got chains of {listed} subtasks. Run the chains of each length as a "
            "separate run, in a separate folder."
        )
    return next(iter(lengths), None)


def _digest_of_first(all_chains: Sequence[Chain], count: int) -> str:
    return chain_lists.digest(all_chains[:count])


def _execute(
    setup: WorkerSetup,
    worker: Worker,
    jobs: Sequence[ChainJob],
    worlds: int,
    ray: RayOptions | None,
    isolated: bool,
    positions: Positions | None,
) -> Iterator[ChainRecord]:
    if not jobs:
        return
    batch_size = setup.settings.batch_size
    if ray is not None:
        worker.release()
        yield from run_on_ray(setup, jobs, worlds, ray)
    elif batch_size > 1:
        yield from run_batched(setup, worker, jobs, worlds, batch_size, positions)
    elif min(worlds, len(jobs)) == 1 and not isolated:
        yield from run_in_process(worker, jobs, positions)
    else:
        worker.release()
        yield from run_in_processes(setup, jobs, worlds, positions)


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


def _require_runnable_worker(worker: Worker, settings: RunSettings, num_chains: int, chain_length: int | None) -> None:
    worker.instructions.require_chains(num_chains, chain_length)
    require_same_conventions(worker.policy.traits, worker.world)
    if settings.batch_size > 1:
        require_batched(worker.policy, settings.batch_size)


def require_same_conventions(traits: PolicyTraits, world: World) -> None:
    """Refuses a policy and a world that do not speak alike, before the first chain.

    Raises:
        ConventionMismatchError: Their actions mean different things, or the world does not show what the policy reads.
        WorldTraitsError: The world has no traits to compare with.
    """
    of_world = traits_of(world)
    accepted = of_world.action_convention
    if traits.action_convention != accepted:
        raise ConventionMismatchError(
            f"The policy '{traits.label}' speaks '{traits.action_convention}', but the world accepts '{accepted}'. "
            "Choose a world or a policy so that both speak alike."
        )
    shown = of_world.observation_keys
    unseen = [key for key in traits.observation_keys if key not in shown]
    if unseen:
        raise ConventionMismatchError(
            f"The policy '{traits.label}' reads {', '.join(unseen)}, but the world shows policies only "
            f"{', '.join(sorted(shown))}."
        )


def describe(settings: RunSettings, worker: Worker, all_chains: Sequence[Chain], suite: str | None) -> RunDescription:
    """What `run.json` will say of a run, but for its sessions."""
    traits = worker.policy.traits
    world, of_world = worker.world.unwrapped, traits_of(worker.world)
    instructions = worker.instructions
    num_chains = _num_chains(settings, all_chains)
    chain_digest = chain_lists.digest(all_chains[:num_chains])
    pictured = reference_frame(worker.world)
    unlike = unlike_training(
        traits.trained_on,
        scene=settings.scene,
        asset_digest=of_world.asset_digest,
        renderer=of_world.renderer,
        depth_bits=of_world.depth_bits,
        reference_frame=pictured,
    )
    if unlike:
        _logger.warning("%s was trained on another world than this: %s.", traits.label, "; ".join(unlike))
    return RunDescription(
        suite=suite,
        policy=settings.policy,
        label=traits.label,
        variant=settings.variant,
        action_convention=str(traits.action_convention),
        observation_keys=traits.observation_keys,
        may_read=traits.may_read,
        chunk_length=traits.chunk_length,
        chunk_rule=traits.chunk_rule,
        weights_digest=traits.weights_digest,
        source_digest=source_digest(settings.policy, worker.policy),
        privileged=traits.privileged,
        memory=traits.memory,
        official=judge_official(
            traits,
            scene=settings.scene,
            asset_digest=of_world.asset_digest,
            is_published_list=chain_digest == chain_lists.digest(chain_lists.published()[:num_chains]),
            num_chains=num_chains,
            max_steps=settings.max_steps,
            instructions=instructions.name,
            renderer=of_world.renderer,
        ),
        world=f"{type(world).__module__}:{type(world).__qualname__}",
        scene=settings.scene,
        asset_digest=of_world.asset_digest,
        calvin_env=of_world.calvin_env,
        simulation=of_world.simulation or settings.simulation,
        renderer=of_world.renderer,
        depth_bits=of_world.depth_bits,
        reference_frame=pictured,
        **_training(settings, traits),
        unlike_training=unlike,
        chains=num_chains,
        tasks=settings.tasks,
        chain_digest=chain_digest,
        chain_length=_chain_length(all_chains[:num_chains]),
        max_steps=settings.max_steps,
        instructions=instructions.name,
        instruction_digest=_digest(instructions),
        seed=settings.seed,
        batch_size=settings.batch_size,
    )


def _training(settings: RunSettings, traits: PolicyTraits) -> dict[str, Any]:
    """The policy's training, from the policy itself or, for trained policies, as declared in the suite.

    Raises:
        ConventionMismatchError: Policy and suite contradict each other.
    """
    known = traits.trained_on or TrainedOn()
    stated = {"train": known.scene, "training_seed": known.seed, "training_recipe": known.recipe}
    if traits.privileged or kind_of(settings.policy) in NOT_TRAINED:
        return stated
    for name, value in stated.items():
        declared = getattr(settings, name)
        if declared is not None and value not in (None, declared):
            raise ConventionMismatchError(
                f"expected {name} to be '{value}', which '{traits.label}' says that it was trained on, got "
                f"'{declared}'. Leave it out; a suite may declare it for others alone: {{policy: SPEC, train: ...}}. "
                f"If the checkpoint is wrong, say so in its spec: checkpoint:FOLDER,trained_on={declared}."
                if name == "train"
                else f"expected {name} to be '{value}', as '{traits.label}' says, got '{declared}'. Leave it out."
            )
    return {name: value if value is not None else getattr(settings, name) for name, value in stated.items()}


def _digest(instructions: InstructionSet) -> str:
    """SHA-256 of all instructions that may occur: a task's canonical one, or a list where wordings are drawn."""
    found = instructions.sentences()
    one = frozenset[str]() if instructions.draws_wordings else instructions.seen.keys()
    sentences = {key: found[key][0] if key in one else list(found[key]) for key in sorted(found)}
    return sha256(json.dumps(sentences, ensure_ascii=False).encode()).hexdigest()


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
        for directory, setup in setups.items():
            with problems.collected(setup.settings.policy):
                require_runnable(setup, directory, overwrite=overwrite)
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


def require_runnable(setup: WorkerSetup, directory: Path, *, overwrite: bool = False) -> None:
    """Makes policy and world and compares them with the run in the folder. It runs and writes nothing.

    Args:
        setup: What they are made from.
        directory: The run's folder.
        overwrite: Whether a run in the folder will be moved aside, so that it need not be the same run.

    Raises:
        Exception: As `evaluate` does.
    """
    all_chains = _all_chains(setup.settings, None)
    worker = Worker(setup)
    try:
        num_chains = _num_chains(setup.settings, all_chains)
        _require_runnable_worker(worker, setup.settings, num_chains, _chain_length(all_chains[:num_chains]))
        if (directory / RUN_FILE).exists() and not overwrite:
            description = describe(setup.settings, worker, all_chains, suite=None)
            continued(read_description(directory), description, partial(_digest_of_first, all_chains), directory)
    finally:
        worker.release()
