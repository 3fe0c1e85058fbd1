"""Where chains run: in this process, or in several at once."""

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache

from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.rollout.diary import errored_record
from calvinbench.harness.rollout.jobs import ChainJob
from calvinbench.harness.rollout.positions import Marker, Positions
from calvinbench.harness.rollout.workers import Worker, WorkerSetup, one_torch_thread

_logger = logging.getLogger(__name__)


class WorkerDiedError(RunFailedError):
    """A process died: killed, out of memory, or crashed in native code."""


def run_in_process(
    worker: Worker, jobs: Sequence[ChainJob], positions: Positions | None = None
) -> Iterator[ChainRecord]:
    """Runs chains one after another in this process, which native code that crashes ends."""
    marker = None if positions is None else Marker(positions, 0)
    with one_torch_thread():
        for job in jobs:
            yield worker.run(job, marker)


def run_in_processes(
    setup: WorkerSetup, jobs: Sequence[ChainJob], num_worlds: int, positions: Positions | None = None
) -> Iterator[ChainRecord]:
    """Runs chains in processes, each with its own world and copy of the policy; records come as chains end.

    When a process dies, every chain then under way is suspect. Each is tried once more, alone in a fresh process, so
    that an innocent one finishes and the culprit is known: it is recorded as errored. Then the rest go on.

    Args:
        setup: What each worker is made from.
        jobs: The chains.
        num_worlds: Number of processes.
        positions: Where it is noted how far chains are, with a place for each process; None for nowhere.

    Raises:
        WorkerDiedError: No process lives long enough to make a policy and a world.
    """
    waiting = deque(jobs)
    while waiting:
        suspects: list[ChainJob] = []
        yield from _run_until_broken(setup, waiting, num_worlds, suspects, positions)
        for job in suspects:
            _logger.warning("a worker died; chain %d is tried once more, alone.", job.number)
            yield _run_alone(setup, job, positions)


def _run_until_broken(
    setup: WorkerSetup,
    waiting: deque[ChainJob],
    num_worlds: int,
    suspects: list[ChainJob],
    positions: Positions | None,
) -> Iterator[ChainRecord]:
    """Runs what waits until nothing is left or a process died; the chains then under way go to `suspects`."""
    num_worlds = min(num_worlds, len(waiting))
    with process_pool(num_worlds, positions) as pool:
        ready = pool.submit(_make_worker, setup)
        running: dict[Future[ChainRecord], ChainJob] = {}
        places: dict[Future[ChainRecord], int] = {}
        free = deque(range(num_worlds))
        while (waiting or running) and not suspects:
            while waiting and len(running) < num_worlds:
                try:
                    future = pool.submit(_run_job, setup, waiting[0], free[0])
                except BrokenProcessPool:
                    break
                running[future], places[future] = waiting.popleft(), free.popleft()
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                if isinstance(ready.exception(), BrokenProcessPool):
                    raise WorkerDiedError(
                        "the processes that step worlds die as they start; what they wrote above may say why. A script "
                        "that evaluates with several worlds must do so under: if __name__ == '__main__'."
                    )
                done = set(running)
            for future in done:
                job, place = running.pop(future), places.pop(future)
                free.append(place)
                if positions is not None:
                    positions.end(place)
                if isinstance(future.exception(), BrokenProcessPool):
                    suspects.append(job)
                else:
                    yield future.result()


def _run_alone(setup: WorkerSetup, job: ChainJob, positions: Positions | None) -> ChainRecord:
    with process_pool(1, positions) as pool:
        try:
            return pool.submit(_run_job, setup, job, 0).result()
        except BrokenProcessPool:
            if positions is not None:
                positions.end(0)
            message = (
                "the process that ran this chain died twice, the second time with nothing beside it. "
                "Look for a crash in native code, or for a lack of memory, in the system's log."
            )
            return errored_record(job, WorkerDiedError(message))


@contextmanager
def process_pool(num_processes: int, positions: Positions | None = None) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes that end with the block; at once if it is left by an exception.

    Args:
        num_processes: How many.
        positions: What `_run_job` notes how far a chain is in; None for nothing.
    """
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        num_processes, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(positions,)
    )
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    pool.shutdown()


def _start_worker(positions: Positions | None) -> None:
    """In a new process: memory that is shared can be handed over only now."""
    start_process()
    _POSITIONS[:] = [] if positions is None else [positions]


_POSITIONS: list[Positions] = []
"""What this worker's process notes its chains' steps in, if anything."""


def start_process() -> None:
    """Leaves Ctrl-C and standard output to the driver, and ends this process should the driver be killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)
    driver = multiprocessing.parent_process()
    if driver is not None:

        def follow() -> None:
            driver.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()


def _make_worker(setup: WorkerSetup) -> None:
    """Makes this process's policy and world, before any chain depends on it."""
    _worker(setup).world  # noqa: B018


def _run_job(setup: WorkerSetup, job: ChainJob, place: int) -> ChainRecord:
    worker = _worker(setup)
    marker = Marker(_POSITIONS[0], place) if _POSITIONS else None
    with one_torch_thread():
        return worker.run(job, marker)


@cache
def _worker(setup: WorkerSetup) -> Worker:
    """This process's worker: the world and the policy are made once."""
    return Worker(setup, owns_process=True)
