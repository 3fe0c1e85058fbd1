"""Runs chains on the machines of a Ray cluster. Replicas of the policy, with their worlds, are actors.

A replica takes a few chains at a time and sends back each record as its chain ends. The driver writes the records. If a
replica is lost, with its process or its machine, its unfinished chains go to other replicas, see
`attempts.REPLICA_LOST`.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.execution.batched_execution import BatchedWorlds
from calvinbench.harness.execution.executors import WorkerDiedError, run_in_process
from calvinbench.harness.execution.ray_cluster import RayOptions, connect, require_ray, require_room, warn_of_waiting
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.rollout.attempts import REPLICA_LOST, Attempt, ChainQueue
from calvinbench.harness.rollout.diary import errored_record
from calvinbench.harness.rollout.jobs import ChainJob
from calvinbench.harness.rollout.workers import Worker, WorkerSetup

_MAX_LOSSES_AT_START = 3
"""If more replicas are lost before the first record, the run ends."""
_CHAINS_PER_WORLD = 4
"""Chains that a batched replica takes at a time, for each of its worlds. Few, so that all replicas end together."""
WARN_SECONDS = 60.0
"""Time between warnings that no replica has sent anything yet."""
_logger = logging.getLogger(__name__)


def run_on_ray(
    setup: WorkerSetup, jobs: Sequence[ChainJob], num_worlds: int, options: RayOptions
) -> Iterator[ChainRecord]:
    """Runs chains. Yields each record as its chain ends.

    Args:
        setup: What replicas are made from. It is sent to them.
        jobs: The chains.
        num_worlds: Worlds in the whole cluster: one per replica, or up to `batch_size` if the policy is batched.
        options: The resources of a replica.

    Raises:
        RunFailedError: There is no cluster, no node can hold a replica, or no replica can be made.
    """
    ray = require_ray()
    connect(ray, options)
    sizes = replica_sizes(num_worlds, setup.settings.batch_size, len(jobs))
    require_room(ray, options, len(sizes))
    crew = _Crew(ray, setup, options, ChainQueue(jobs))
    try:
        yield from crew.work(sizes)
    finally:
        crew.dismiss()


def replica_sizes(num_worlds: int, batch_size: int, num_chains: int) -> tuple[int, ...]:
    """The number of worlds of each replica: at most `batch_size`, as even as possible, and `num_worlds` in total."""
    num_replicas = max(1, min(-(-num_worlds // batch_size), num_chains))
    num_worlds = min(num_worlds, num_replicas * batch_size)
    return tuple((num_worlds + place) // num_replicas for place in reversed(range(num_replicas)))


@dataclass(slots=True)
class _Replica:
    """An actor, its number of worlds, and its chains that have not ended."""

    actor: Any
    num_worlds: int
    chains: dict[int, Attempt] = field(default_factory=dict)


class _Crew:
    """The replicas of one run."""

    def __init__(self, ray: Any, setup: WorkerSetup, options: RayOptions, queue: ChainQueue) -> None:
        self._ray, self._setup, self._options, self._queue = ray, setup, options, queue
        self._working: dict[Any, _Replica] = {}
        self._has_record = False
        self._num_losses = 0

    def work(self, sizes: Sequence[int]) -> Iterator[ChainRecord]:
        """Runs replicas with these numbers of worlds until no chain is left."""
        for size in sizes:
            self._give(self._hire(size))
        while self._working:
            ready, _ = self._ray.wait(list(self._working), num_returns=1, timeout=WARN_SECONDS)
            if not ready and not self._has_record:
                warn_of_waiting(self._ray, self._options)
            for stream in ready:
                yield from self._take(stream)

    def _hire(self, num_worlds: int) -> _Replica:
        remote = self._ray.remote(max_restarts=0, max_task_retries=0)(_ReplicaActor)
        placed = remote.options(
            num_cpus=self._options.cpus_per_replica,
            num_gpus=self._options.gpus_per_replica,
            scheduling_strategy="SPREAD",
        )
        return _Replica(placed.remote(self._setup, num_worlds), num_worlds)

    def _give(self, replica: _Replica) -> None:
        """Gives a replica its next chains, or ends it if there are none.

        A chain that was lost before runs alone, so that it takes no other chain with it if it is at fault.
        """
        is_single = self._queue.next_is_suspect or self._setup.settings.batch_size == 1
        most = 1 if is_single else _CHAINS_PER_WORLD * replica.num_worlds
        waiting = [self._queue.take() for _ in range(min(most, len(self._queue)))]
        if not waiting:
            self._ray.kill(replica.actor)
            return
        replica.chains = {each.job.number: each for each in waiting}
        stream = replica.actor.run.options(num_returns="streaming").remote([each.job for each in waiting])
        self._working[stream] = replica

    def _take(self, stream: Any) -> Iterator[ChainRecord]:
        """Takes a replica's next record, or gives it new chains if it has finished its own."""
        replica = self._working[stream]
        try:
            record: ChainRecord = self._ray.get(next(stream))
        except StopIteration:
            del self._working[stream]
            self._give(replica)
            return
        except self._ray.exceptions.RayActorError as error:
            del self._working[stream]
            yield from self._replace(replica, error)
            return
        except self._ray.exceptions.RayTaskError as error:
            raise RunFailedError(f"a replica on the cluster could not be made or failed: {error}") from error
        replica.chains.pop(record.chain)
        self._has_record = True
        yield record

    def _replace(self, replica: _Replica, error: Exception) -> Iterator[ChainRecord]:
        """Replaces a lost replica. Its chains wait again, or end if they were lost too often."""
        self._num_losses += 1
        if not self._has_record and self._num_losses > _MAX_LOSSES_AT_START:
            raise WorkerDiedError(f"the replicas on the cluster die as they start: {error}") from error
        _logger.warning("a replica was lost; its %d chains go to other replicas.", len(replica.chains))
        for each in sorted(replica.chains.values(), key=lambda attempt: attempt.job.number, reverse=True):
            if not self._queue.retry(each, REPLICA_LOST, "a replica was lost"):
                message = f"the replica that ran this chain was lost {each.num_failures} times, on whichever machine."
                yield errored_record(each.job, WorkerDiedError(message))
        if self._queue:
            self._give(self._hire(replica.num_worlds))

    def dismiss(self) -> None:
        """Ends all replicas."""
        for replica in self._working.values():
            self._ray.kill(replica.actor)
        self._working = {}


class _ReplicaActor:
    """Runs on a machine of the cluster: a policy and its worlds."""

    def __init__(self, setup: WorkerSetup, num_worlds: int) -> None:
        self._setup, self._num_worlds = setup, num_worlds
        self._worker = Worker(setup, owns_process=True)
        self._worlds: BatchedWorlds | None = None

    def run(self, jobs: Sequence[ChainJob]) -> Iterator[ChainRecord]:
        """Runs chains and sends each record as its chain ends."""
        batch_size = self._setup.settings.batch_size
        if batch_size == 1:
            yield from run_in_process(self._worker, jobs)
            return
        if self._worlds is None:
            self._worlds = BatchedWorlds(self._setup, self._worker, self._num_worlds, batch_size)
        yield from self._worlds.run(jobs)

    def close(self) -> None:
        """Ends the worlds."""
        self._worker.close()
        if self._worlds is not None:
            self._worlds.close()
