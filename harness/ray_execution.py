"""Chains on the machines of a Ray cluster: replicas of the policy with their worlds are actors, and the driver writes.

A replica takes a few chains at a time and sends back each record as it is made. Where a replica is lost, with its
process or with its machine, the chains that it has not sent back go to the others; finished ones are on the driver's
disk already.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from calvinbench.harness.batched_execution import run_batched
from calvinbench.harness.diary import errored_record
from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.executors import WorkerDiedError, run_in_process
from calvinbench.harness.jobs import ChainJob
from calvinbench.harness.records import ChainRecord
from calvinbench.harness.workers import Worker, WorkerSetup

MAX_LOSSES = 3
"""A chain that is lost so often with its replica is at fault itself, and is recorded as errored."""
_CHAINS_PER_WORLD = 4
"""Chains that a batched replica takes at a time, for each of its worlds: few are left to one replica at the end."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RayOptions:
    """What a cluster is asked for.

    Attributes:
        address: Of the cluster; None for the one that `RAY_ADDRESS` or this machine knows, else one is started here.
        cpus_per_replica: Processors that a replica takes, its worlds' included.
        gpus_per_replica: GPUs that it takes; a fraction shares one.
    """

    address: str | None = None
    cpus_per_replica: float = 1.0
    gpus_per_replica: float = 0.0

    def __post_init__(self) -> None:
        if self.cpus_per_replica <= 0 or self.gpus_per_replica < 0:
            raise ValueError(
                f"expected processors above 0 and GPUs of at least 0 for a replica, got {self.cpus_per_replica} and "
                f"{self.gpus_per_replica}."
            )


def require_ray() -> Any:
    """The package.

    Raises:
        RunFailedError: It is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise RunFailedError("expected Ray for --executor ray, found none: pip install 'calvinbench[ray]'.") from error
    return ray


def run_on_ray(
    setup: WorkerSetup, jobs: Sequence[ChainJob], num_worlds: int, options: RayOptions
) -> Iterator[ChainRecord]:
    """Runs chains; records come as chains end.

    Args:
        setup: What replicas are made from; it is sent to them.
        jobs: The chains.
        num_worlds: Worlds in the whole cluster: one a replica, or `batch_size` of them where the policy is batched.
        options: What a replica takes.

    Raises:
        RunFailedError: There is no cluster, or no replica can be made on it.
    """
    ray = require_ray()
    _connect(ray, options)
    batch_size = setup.settings.batch_size
    worlds_per_replica = min(batch_size, num_worlds)
    num_replicas = max(1, min(num_worlds // worlds_per_replica, len(jobs)))
    chunk = 1 if batch_size == 1 else _CHAINS_PER_WORLD * worlds_per_replica
    crew = _Crew(ray, setup, options, worlds_per_replica, chunk, deque(_Waiting(job) for job in jobs))
    try:
        yield from crew.work(num_replicas)
    finally:
        crew.dismiss()


def _connect(ray: Any, options: RayOptions) -> None:
    if ray.is_initialized():
        return
    try:
        ray.init(address=options.address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RunFailedError(
            f"expected a Ray cluster at '{options.address or 'this machine'}', got: {error}. Start one by: "
            "ray start --head"
        ) from error


@dataclass(slots=True)
class _Waiting:
    """A chain that waits, and how often it was lost."""

    job: ChainJob
    num_losses: int = 0


@dataclass(slots=True)
class _Replica:
    """An actor, and the chains that it has and has not sent back."""

    actor: Any
    chains: dict[int, _Waiting] = field(default_factory=dict)


class _Crew:
    """The replicas of one run."""

    def __init__(
        self,
        ray: Any,
        setup: WorkerSetup,
        options: RayOptions,
        worlds_per_replica: int,
        chunk: int,
        queue: deque[_Waiting],
    ) -> None:
        self._ray, self._setup, self._options = ray, setup, options
        self._worlds_per_replica, self._chunk, self._queue = worlds_per_replica, chunk, queue
        self._working: dict[Any, _Replica] = {}
        self._has_record = False
        self._num_losses = 0

    def work(self, num_replicas: int) -> Iterator[ChainRecord]:
        """Keeps so many replicas at work until no chain is left."""
        for _ in range(num_replicas):
            self._give(self._hire())
        while self._working:
            ready, _ = self._ray.wait(list(self._working), num_returns=1)
            for stream in ready:
                yield from self._take(stream)

    def _hire(self) -> _Replica:
        remote = self._ray.remote(max_restarts=0, max_task_retries=0)(_ReplicaActor)
        placed = remote.options(
            num_cpus=self._options.cpus_per_replica,
            num_gpus=self._options.gpus_per_replica,
            scheduling_strategy="SPREAD",
        )
        return _Replica(placed.remote(self._setup, self._worlds_per_replica))

    def _give(self, replica: _Replica) -> None:
        """Gives a replica its next chains; one that gets none is let go.

        A chain that was lost goes alone, so that it takes no other with it if it is at fault.
        """
        was_lost = bool(self._queue) and self._queue[0].num_losses > 0
        waiting = [self._queue.popleft() for _ in range(min(1 if was_lost else self._chunk, len(self._queue)))]
        if not waiting:
            self._ray.kill(replica.actor)
            return
        replica.chains = {each.job.number: each for each in waiting}
        stream = replica.actor.run.options(num_returns="streaming").remote([each.job for each in waiting])
        self._working[stream] = replica

    def _take(self, stream: Any) -> Iterator[ChainRecord]:
        """The next record of a replica; at the end of its chains it gets others."""
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
        """A replica is lost: its chains wait again, those lost too often end, and another replica takes its place."""
        self._num_losses += 1
        if not self._has_record and self._num_losses > MAX_LOSSES:
            raise WorkerDiedError(f"the replicas on the cluster die as they start: {error}") from error
        _logger.warning("a replica was lost; its %d chains go to others.", len(replica.chains))
        for each in sorted(replica.chains.values(), key=lambda waiting: waiting.job.number, reverse=True):
            each.num_losses += 1
            if each.num_losses >= MAX_LOSSES:
                message = f"the replica that ran this chain was lost {MAX_LOSSES} times, on whichever machine."
                yield errored_record(each.job, WorkerDiedError(message))
            else:
                self._queue.appendleft(each)
        if self._queue:
            self._give(self._hire())

    def dismiss(self) -> None:
        """Lets all replicas go."""
        for replica in self._working.values():
            self._ray.kill(replica.actor)
        self._working = {}


class _ReplicaActor:
    """On a machine of the cluster: a policy, and its worlds."""

    def __init__(self, setup: WorkerSetup, num_worlds: int) -> None:
        self._setup, self._num_worlds = setup, num_worlds
        self._worker = Worker(setup, owns_process=True)

    def run(self, jobs: Sequence[ChainJob]) -> Iterator[ChainRecord]:
        """Runs chains and sends each record when it is there."""
        batch_size = self._setup.settings.batch_size
        if batch_size == 1:
            yield from run_in_process(self._worker, jobs)
        else:
            yield from run_batched(self._setup, self._worker, jobs, self._num_worlds, batch_size)
