"""Where chains run: in this process, or in several at once."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache

from calvinbench.envs.system.child_process import SPAWN
from calvinbench.envs.system.redirection import STDERR, STDOUT, redirect
from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.rollout.attempts import WORKER_DIED, Attempt, ChainQueue
from calvinbench.harness.rollout.diary import errored_record
from calvinbench.harness.rollout.jobs import ChainJob
from calvinbench.harness.rollout.positions import Marker, Positions
from calvinbench.harness.rollout.workers import Worker, WorkerSetup, one_torch_thread


class WorkerDiedError(RunFailedError):
    """A process died: killed, out of memory, or crashed in native code."""

    @classmethod
    def at_start(cls) -> "WorkerDiedError":
        """No process lives long enough to begin a chain."""
        return cls(
            "the processes that step worlds die as they start; their output above may say why. A script that evaluates "
            "with several worlds must do so under: if __name__ == '__main__'."
        )


def run_in_process(
    worker: Worker, jobs: Sequence[ChainJob], positions: Positions | None = None
) -> Iterator[ChainRecord]:
    """Runs chains one after another in this process. A crash in native code ends it."""
    marker = None if positions is None else Marker(positions, 0)
    with one_torch_thread():
        for job in jobs:
            yield worker.run(job, marker)


def run_in_processes(
    setup: WorkerSetup, jobs: Sequence[ChainJob], num_worlds: int, positions: Positions | None = None
) -> Iterator[ChainRecord]:
    """Runs chains in processes, each with its own world and copy of the policy. Yields each record as its chain ends.

    When a process dies, every chain that is under way is suspect and is tried again, see `attempts.WORKER_DIED`. Then
    the other chains go on.

    Args:
        setup: What each worker is made from.
        jobs: The chains.
        num_worlds: Number of processes.
        positions: Where progress is noted, with a place for each process; None for nowhere.

    Raises:
        WorkerDiedError: Every process dies before it has made a policy and a world.
    """
    queue = ChainQueue(jobs)
    while queue:
        if queue.next_is_suspect:
            yield _run_alone(setup, queue.take(), positions)
        else:
            yield from _run_until_broken(setup, queue, num_worlds, positions)


def _run_until_broken(
    setup: WorkerSetup,
    queue: ChainQueue,
    num_worlds: int,
    positions: Positions | None,
) -> Iterator[ChainRecord]:
    """Runs the queue until it is empty or a process died. Then the chains under way wait to be tried again."""
    num_worlds = min(num_worlds, len(queue))
    with process_pool(num_worlds, positions) as pool:
        ready = pool.submit(_make_worker, setup)
        running: dict[Future[ChainRecord], Attempt] = {}
        places: dict[Future[ChainRecord], int] = {}
        free = deque(range(num_worlds))
        while (queue or running) and not queue.next_is_suspect:
            while queue and len(running) < num_worlds:
                attempt = queue.take()
                try:
                    future = pool.submit(_run_job, setup, attempt.job, free[0])
                except BrokenProcessPool:
                    queue.put_back(attempt)
                    break
                running[future], places[future] = attempt, free.popleft()
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                if isinstance(ready.exception(), BrokenProcessPool):
                    raise WorkerDiedError.at_start()
                done = set(running)
            for future in done:
                attempt, place = running.pop(future), places.pop(future)
                free.append(place)
                if positions is not None:
                    positions.end(place)
                if isinstance(future.exception(), BrokenProcessPool):
                    queue.retry(attempt, WORKER_DIED, "a worker died")
                else:
                    yield future.result()


def _run_alone(setup: WorkerSetup, attempt: Attempt, positions: Positions | None) -> ChainRecord:
    """Runs a chain with no other chain beside it, until it ends or has had all its tries."""
    while True:
        with process_pool(1, positions) as pool:
            try:
                return pool.submit(_run_job, setup, attempt.job, 0).result()
            except BrokenProcessPool:
                if positions is not None:
                    positions.end(0)
        if not attempt.may_try_again(WORKER_DIED, "a worker died"):
            message = (
                f"the process that ran this chain died {attempt.num_failures} times, the last time with no other chain "
                "beside it. Look in the system's log for a crash in native code, or for a lack of memory."
            )
            return errored_record(attempt.job, WorkerDiedError(message))


@contextmanager
def process_pool(num_processes: int, positions: Positions | None = None) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes that end with the block: at once if it raises an error.

    Args:
        num_processes: How many.
        positions: Where `_run_job` notes progress; None for nowhere.
    """
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(num_processes, SPAWN, initializer=_start_worker, initargs=(positions,))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    pool.shutdown()


def _start_worker(positions: Positions | None) -> None:
    """Runs in a new process. Shared memory can only be passed to it here."""
    start_process()
    _POSITIONS[:] = [] if positions is None else [positions]


_POSITIONS: list[Positions] = []
"""Where this process notes progress; empty for nowhere."""


def start_process() -> None:
    """Sends standard output to the driver's standard error, and ends this process when the driver ends."""
    redirect(STDOUT, STDERR)
    driver = multiprocessing.parent_process()
    if driver is not None:

        def follow() -> None:
            driver.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()


def _make_worker(setup: WorkerSetup) -> None:
    """Makes this process's policy and world before the first chain."""
    _worker(setup).world  # noqa: B018


def _run_job(setup: WorkerSetup, job: ChainJob, place: int) -> ChainRecord:
    worker = _worker(setup)
    marker = Marker(_POSITIONS[0], place) if _POSITIONS else None
    with one_torch_thread():
        return worker.run(job, marker)


@cache
def _worker(setup: WorkerSetup) -> Worker:
    """This process's worker, made once."""
    return Worker(setup, owns_process=True)
