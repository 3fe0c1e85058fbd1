"""Many worlds, one policy. Worlds step in processes of their own, and the policy answers a batch of them at a time.

A batch always has the same number of rows, and policies know beforehand which instructions may come. Therefore a row's
answer does not depend on the other rows, and records are the same for any number of worlds. With more worlds than rows
there are several batches: while the policy answers one, the worlds of the others step. A world that ends a chain takes
the next one.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from multiprocessing.connection import wait
from types import TracebackType

from gymnasium.spaces import Dict

from calvinbench.harness.execution.world_batch import WorldBatch
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.rollout.attempts import ChainQueue
from calvinbench.harness.rollout.jobs import ChainJob
from calvinbench.harness.rollout.positions import Positions
from calvinbench.harness.rollout.workers import Worker, WorkerSetup, one_torch_thread
from calvinbench.policies.policy import BatchedPolicy, Policy


class NotBatchedError(ValueError):
    """A policy cannot answer several worlds at once."""


def require_batched(policy: Policy, batch_size: int) -> BatchedPolicy:
    """Returns the policy if it can answer a batch of this size.

    Raises:
        NotBatchedError: It cannot.
    """
    label, most = policy.traits.label, policy.traits.max_batch_size
    instead = "Leave --batch-size out: each world then has its own copy of the policy."
    if most is not None and most < batch_size:
        raise NotBatchedError(
            f"expected a policy that answers {batch_size} worlds at once, but '{label}' answers at most {most}. "
            f"{instead}"
        )
    if not isinstance(policy, BatchedPolicy):
        raise NotBatchedError(
            f"expected a policy with put_state and expect for --batch-size {batch_size}, but '{label}' lacks them (see "
            f"BatchedPolicy in policies/policy.py). {instead}"
        )
    return policy


def run_batched(
    setup: WorkerSetup,
    worker: Worker,
    jobs: Sequence[ChainJob],
    num_worlds: int,
    batch_size: int,
    positions: Positions | None = None,
) -> Iterator[ChainRecord]:
    """Runs chains. Yields each record as its chain ends.

    A world that dies, hangs or raises an error is started again, and its chain is tried again, see
    `attempts.WORLD_FAILED`. If the policy raises an error for a batch, each of its chains is tried alone.

    Args:
        setup: What worlds are made from.
        worker: Its policy is used, and its world gives the observations' shapes.
        jobs: The chains.
        num_worlds: Worlds, each in a process of its own.
        batch_size: Rows of a batch.
        positions: Where progress is noted, with a place for each world; None for nowhere.

    Raises:
        NotBatchedError: The policy cannot answer a batch of this size.
        WorkerDiedError: Every world dies before it has begun a chain.
    """
    with BatchedWorlds(setup, worker, min(num_worlds, len(jobs)), batch_size, positions) as worlds:
        yield from worlds.run(jobs)


class BatchedWorlds:
    """The worlds and the one policy, ready to run one list of chains after another. A context manager."""

    def __init__(
        self,
        setup: WorkerSetup,
        worker: Worker,
        num_worlds: int,
        batch_size: int,
        positions: Positions | None = None,
    ) -> None:
        """Starts the worlds; see `run_batched`."""
        policy = require_batched(worker.policy, batch_size)
        policy.expect([sentence for found in worker.instructions.sentences().values() for sentence in found])
        shown = worker.world.observation_space
        spaces = {key: shown[key] for key in policy.traits.observation_keys} if isinstance(shown, Dict) else {}
        worker.close()
        self._queue = ChainQueue()
        with ExitStack() as opened:
            self._batches = [
                opened.enter_context(
                    WorldBatch(
                        setup,
                        policy,
                        spaces,
                        batch_size,
                        min(batch_size, num_worlds - first),
                        self._queue,
                        worker.limit,
                        positions,
                        first,
                    )
                )
                for first in range(0, num_worlds, batch_size)
            ]
            self._opened = opened.pop_all()

    def __enter__(self) -> "BatchedWorlds":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    def run(self, jobs: Sequence[ChainJob]) -> Iterator[ChainRecord]:
        """Runs chains. If you stop iterating before the end, close the worlds.

        Raises:
            WorkerDiedError: Every world dies before it has begun a chain.
        """
        self._queue.add(jobs)
        with one_torch_thread():
            yield from _drive(self._batches)

    def close(self) -> None:
        """Ends the worlds."""
        self._opened.close()


def _drive(batches: Sequence[WorldBatch]) -> Iterator[ChainRecord]:
    """Asks the policy for the next batch that is ready, or waits for answers of worlds."""
    turn = 0
    while True:
        for batch in batches:
            batch.take_jobs()
        order = [(turn + place) % len(batches) for place in range(len(batches))]
        ready = next((place for place in order if batches[place].is_ready), None)
        if ready is not None:
            yield from batches[ready].act()
            turn = ready + 1
            continue
        stepping = {slot.world.connection: (batch, slot) for batch in batches for slot in batch.stepping}
        if not stepping:
            return
        for connection in wait(list(stepping)):
            batch, slot = stepping[connection]  # type: ignore[index]
            yield from batch.hear(slot)
