"""Runs a finished chain of a run again, as a video, and compares it with its record.

A run keeps no images. It keeps everything that a chain depends on: the policy's spec, the initial state, the seed and
the world. So the chain can be run again, and the record shows whether it went the same way.
"""

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calvinbench.envs import chains as chain_lists
from calvinbench.envs.chains import Chain
from calvinbench.envs.system.atomic_write import move_into_place
from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.evaluation.describing import describe
from calvinbench.harness.execution.executors import run_in_process
from calvinbench.harness.records.description import RunDescription, differences
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.records.runs import Run
from calvinbench.harness.rollout.jobs import make_job
from calvinbench.harness.rollout.videos import ALL, VIDEOS_FOLDER, VideoSettings, require_encoder
from calvinbench.harness.rollout.workers import Worker, WorkerSetup
from calvinbench.harness.suite.settings import RunSettings

_SAME_CHANGE = 1e-6
"""Largest relative difference of the mean change of actions that still counts as the same."""
_BATCHED = "the run was batched, so that the last digits of its actions depend on the other worlds"
_logger = logging.getLogger(__name__)


class ReplayError(RunFailedError):
    """A chain cannot be run again."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A chain that was run again.

    Attributes:
        video: The video's file.
        record: What happened this time.
        unlike: How it differs from the run's record, in words; empty if it went the same way.
    """

    video: Path
    record: ChainRecord
    unlike: tuple[str, ...]


def replay(
    run: Run,
    numbers: Sequence[int],
    folder: Path | None = None,
    *,
    change: Callable[[RunSettings], RunSettings] = lambda settings: settings,
    setup: WorkerSetup | None = None,
) -> Iterator[Replay]:
    """Runs finished chains again and writes a video of each, such as `chain_0012.mp4`.

    A video of a chain that went another way than its record is named `chain_0012-unlike-the-record.mp4`.

    Args:
        run: The run.
        numbers: The chains' numbers.
        folder: Where the videos go; None for `videos/` in the run's folder.
        change: Changes the settings that `run.json` gives, such as where checkouts are on this machine.
        setup: How world and policy are made, if the run was made from Python by other factories. Its settings are not
            used.

    Yields:
        Each chain, as soon as its video is written.

    Raises:
        ValueError: The run has not finished one of the chains.
        VideoError: The package that encodes videos is missing.
        ReplayError: A video could not be written.
        Exception: The policy or the world cannot be made.
    """
    recorded = [_record(run, number) for number in numbers]
    require_encoder()
    folder = folder or run.directory / VIDEOS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".replay-") as apart:
        videos = VideoSettings(Path(apart), ALL)
        made_from = WorkerSetup(RunSettings("expert")) if setup is None else setup
        worker = _worker(replace(made_from, settings=change(settings_of(run.description)), videos=videos), run)
        try:
            _warn_of_changes(run, worker)
            for before in recorded:
                job = make_job(before.chain, _chain(run.description, before), run.description.seed)
                (record,) = run_in_process(worker, [job])
                yield Replay(*_keep(videos.path(before.chain), folder, before, record))
        finally:
            worker.close()


def _keep(
    made: Path, folder: Path, before: ChainRecord, record: ChainRecord
) -> tuple[Path, ChainRecord, tuple[str, ...]]:
    """Moves a video to its folder, under a name that says whether the chain went as its record says."""
    if not made.is_file():
        raise ReplayError(f"the video of chain {before.chain} could not be written to '{folder}'; the log says why.")
    unlike = differences_of_chains(before, record)
    video = folder / (f"{made.stem}-unlike-the-record.mp4" if unlike else made.name)
    move_into_place(made, video)
    return video, record, unlike


def settings_of(description: RunDescription) -> RunSettings:
    """The settings from which a run's chains can be run again, one world at a time.

    Where checkouts are on this machine is not recorded, and neither is the path of a file of instructions.
    """
    return RunSettings(
        policy=description.policy,
        scene=description.scene,
        chains=1,
        max_steps=description.max_steps,
        seed=description.seed,
        simulation=description.simulation,
        instructions=description.instructions,
        renderer=description.renderer,
        depth_bits=description.depth_bits,
        static_size=description.static_size,
        gripper_size=description.gripper_size,
        train=description.train,
        training_seed=description.training_seed,
        training_recipe=description.training_recipe,
        variant=description.variant,
    )


def differences_of_chains(recorded: ChainRecord, again: ChainRecord) -> tuple[str, ...]:
    """How a chain went differently the second time, in words. Times are not compared."""
    found = []
    if len(recorded.subtasks) != len(again.subtasks):
        found.append(f"{len(again.subtasks)} subtasks were reached, {len(recorded.subtasks)} in the record")
    for position, (before, now) in enumerate(zip(recorded.subtasks, again.subtasks, strict=False), start=1):
        where = f"subtask {position} ({before.task})"
        for name in ("instruction", "outcome", "steps", "gripper_changes"):
            old, new = getattr(before, name), getattr(now, name)
            if old != new and old is not None:
                found.append(f"{where}: {name} is {new}, {old} in the record")
        old, new = before.action_change, now.action_change
        if old is not None and new is not None and abs(old - new) > _SAME_CHANGE * max(1.0, abs(old)):
            found.append(f"{where}: mean change of action is {new:g}, {old:g} in the record")
    return tuple(found)


def _record(run: Run, number: int) -> ChainRecord:
    for record in run.records:
        if record.chain == number:
            return record
    numbers = [record.chain for record in run.records]
    finished = f"numbers from {min(numbers)} to {max(numbers)}" if numbers else "none"
    raise ValueError(
        f"expected a chain that '{run.directory}' has finished, got {number}. It has finished {len(numbers)} chains: "
        f"{finished}."
    )


def _chain(description: RunDescription, record: ChainRecord) -> Chain:
    """The chain of a record: the published one, or of other lists the subtasks that were reached."""
    published = chain_lists.published()[: description.chains]
    if not description.tasks and chain_lists.digest(published) == description.chain_digest:
        return published[record.chain]
    reached = tuple(subtask.task for subtask in record.subtasks)
    return Chain(record.initial_state, reached, record.lead_in)


def _worker(setup: WorkerSetup, run: Run) -> Worker:
    """A worker whose policy clears its memory when the run's did."""
    worker = Worker(setup)
    reset = run.description.memory.reset
    if worker.policy.traits.memory.reset == reset:
        return worker
    worker.release()
    return Worker(replace(setup, settings=replace(setup.settings, memory_reset=reset)))


def _warn_of_changes(run: Run, worker: Worker) -> None:
    """Warns of everything that changed since the run was made, because the chain may go another way."""
    now = describe(worker.setup.settings, worker, chain_lists.published()[:1], run.description.suite)
    fixed = replace(
        now, batch_size=run.description.batch_size, tasks=run.description.tasks, label=run.description.label
    )
    changed = [str(difference) for difference in differences(run.description, fixed)]
    if run.description.batch_size > 1:
        changed.append(_BATCHED)
    if changed:
        _logger.warning("%s: this chain may go another way than in the run: %s.", run.name, "; ".join(changed))
