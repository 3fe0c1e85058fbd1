"""Chooses where the chains of a run are run. Whatever runs them also answers questions about policy and world."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from calvinbench.harness.execution.batched_execution import run_batched
from calvinbench.harness.execution.executors import WorkerProcesses, run_in_process
from calvinbench.harness.execution.questions import Answer, Question
from calvinbench.harness.execution.ray_cluster import RayOptions
from calvinbench.harness.execution.ray_execution import run_on_ray
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.rollout.jobs import ChainJob
from calvinbench.harness.rollout.positions import Positions
from calvinbench.harness.rollout.workers import Worker, WorkerSetup


class Executor(Protocol):
    """Makes a policy and worlds, answers questions about them, and runs chains."""

    @property
    def positions(self) -> Positions | None:
        """Where the progress of chains is noted; None if it is not."""
        ...

    def ask(self, question: Question[Answer]) -> Answer:
        """The answer to a question about the policy and a world. They are made if need be."""
        ...

    def run(self, jobs: Sequence[ChainJob]) -> Iterator[ChainRecord]:
        """Runs chains. Yields each record as its chain ends. Nothing can be asked afterwards."""
        ...


@contextmanager
def chosen_executor(
    setup: WorkerSetup, worlds: int, ray: RayOptions | None = None, isolated: bool = False
) -> Iterator[Executor]:
    """What runs the chains of a run.

    Args:
        setup: What policy and worlds are made from.
        worlds: Worlds that are stepped at once.
        ray: The resources of replicas on a Ray cluster; None for this machine.
        isolated: Whether a single world also gets a process of its own.
    """
    if ray is None and setup.settings.batch_size == 1 and (worlds > 1 or isolated):
        with WorkerProcesses(setup, worlds, Positions(worlds)) as processes:
            yield processes
        return
    worker = Worker(setup)
    try:
        yield _FromDriver(setup, worker, worlds, ray, None if ray is not None else Positions(worlds))
    finally:
        worker.close()


@dataclass(frozen=True, slots=True)
class _FromDriver:
    """The driver makes the policy: to run chains itself, to answer a batch of worlds, or to describe it."""

    setup: WorkerSetup
    worker: Worker
    worlds: int
    ray: RayOptions | None
    positions: Positions | None

    def ask(self, question: Question[Answer]) -> Answer:
        return question(self.worker)

    def run(self, jobs: Sequence[ChainJob]) -> Iterator[ChainRecord]:
        if not jobs:
            return
        batch_size = self.setup.settings.batch_size
        if self.ray is not None:
            self.worker.release()
            yield from run_on_ray(self.setup, jobs, self.worlds, self.ray)
        elif batch_size > 1:
            yield from run_batched(self.setup, self.worker, jobs, self.worlds, batch_size, self.positions)
        else:
            yield from run_in_process(self.worker, jobs, self.positions)
