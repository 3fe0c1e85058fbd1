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

from calvinbench.harness.diary import errored_record
from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.jobs import ChainJob
from calvinbench.harness.records import ChainRecord
from calvinbench.harness.workers import Worker, WorkerSetup, one_torch_thread

_logger = logging.getLogger(__name__)


class WorkerDiedError(RunFailedError):
    """A process died: killed, out of memory, or crashed in native code."""


def run_in_process(worker: Worker, jobs: Sequence[ChainJob]) -> Iterator[ChainRecord]:
    """Runs chains one after another in this process, which native code that crashes ends."""
    with one_torch_thread():
        for job in jobs:
            yield worker.run(job)


def run_in_processes(setup: WorkerSetup, jobs: Sequence[ChainJob], num_worlds: int) -> Iterator[ChainRecord]:
    """Runs chains in processes, each with its own world and copy of the policy; records come as chains end.

    When a process dies, every chain then under way is suspect. Each is tried once more, alone in a fresh process, so
    that an innocent one finishes and the culprit is known: it is recorded as errored. Then the rest go on.

    Args:
        setup: What each worker is made from.
        jobs: The chains.
        num_worlds: Number of processes.

    Raises:
        WorkerDiedError: No process lives long enough to make a policy and a world.
    """
    waiting = deque(jobs)
    while waiting:
        suspects: list[ChainJob] = []
        yield from _run_until_broken(setup, waiting, num_worlds, suspects)
        for job in suspects:
            _logger.warning("a worker died; chain %d is tried once more, alone.", job.number)
            yield _run_alone(setup, job)


def _run_until_broken(
    setup: WorkerSetup, waiting: deque[ChainJob], num_worlds: int, suspects: list[ChainJob]
) -> Iterator[ChainRecord]:
    """Runs what waits until nothing is left or a process died; the chains then under way go to `suspects`."""
    with process_pool(min(num_worlds, len(waiting))) as pool:
        ready = pool.submit(_make_worker, setup)
        running: dict[Future[ChainRecord], ChainJob] = {}
        while (waiting or running) and not suspects:
            while waiting and len(running) < num_worlds:
                try:
                    running[pool.submit(_run_job, setup, waiting[0])] = waiting[0]
                except BrokenProcessPool:
                    break
                waiting.popleft()
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
                job = running.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    suspects.append(job)
                else:
                    yield future.result()


def _run_alone(setup: WorkerSetup, job: ChainJob) -> ChainRecord:
    with process_pool(1) as pool:
        try:
            return pool.submit(_run_job, setup, job).result()
        except BrokenProcessPool:
            message = (
                "the process that ran this chain died twice, the second time with nothing beside it. "
                "Look for a crash in native code, or for a lack of memory, in the system's log."
            )
            return errored_record(job, WorkerDiedError(message))


@contextmanager
def process_pool(num_processes: int) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes that end with the block; at once if it is left by an exception."""
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(num_processes, multiprocessing.get_context("spawn"), initializer=start_process)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    pool.shutdown()


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


def _run_job(setup: WorkerSetup, job: ChainJob) -> ChainRecord:
    worker = _worker(setup)
    with one_torch_thread():
        return worker.run(job)


@cache
def _worker(setup: WorkerSetup) -> Worker:
    """This process's worker: the world and the policy are made once."""
    return Worker(setup, owns_process=True)
