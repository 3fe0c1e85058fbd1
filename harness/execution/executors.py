"""Where chains run: in this process, or in several at once."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from types import TracebackType

from calvinbench.envs.system.child_process import FORK_SERVER, PRELOADED
from calvinbench.envs.system.redirection import STDERR, STDOUT, redirect
from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.execution.questions import Answer, Question, answered_by_new_worker, ask
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.rollout.attempts import WORKER_DIED, Attempt, ChainQueue
from calvinbench.harness.rollout.diary import errored_record
from calvinbench.harness.rollout.jobs import ChainJob
from calvinbench.harness.rollout.positions import Marker, Positions
from calvinbench.harness.rollout.workers import Worker, WorkerSetup, one_torch_thread

PRELOADED += [
    __name__,
    "calvinbench.envs.play_table",
    "calvinbench.envs.cameras.opengl_look",
    "calvinbench.policies.registry",
]


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


class WorkerProcesses:
    """Processes that each make a policy and a world once, and run chains with them. A context manager.

    When a process dies, every chain that is under way is suspect and is tried again, see `attempts.WORKER_DIED`. Then
    the other chains go on.
    """

    def __init__(self, setup: WorkerSetup, num_worlds: int, positions: Positions | None = None) -> None:
        """No process is started yet.

        Args:
            setup: What each worker is made from.
            num_worlds: Number of processes.
            positions: Where progress is noted, with a place for each process; None for nowhere.
        """
        self.positions = positions
        self._setup = setup
        self._num_worlds = num_worlds
        self._stack = ExitStack()
        self._pool: ProcessPoolExecutor | None = None
        self._can_start = False  # whether a process of this pool has made a policy and a world

    def __enter__(self) -> "WorkerProcesses":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool = None
        self._stack.__exit__(kind, error, trace)

    def ask(self, question: Question[Answer]) -> Answer:
        """Lets the first process make its policy and world and answer a question. Afterwards it runs chains.

        Raises:
            WorkerDiedError: The process died.
            Exception: What making policy and world, or the question, raises.
        """
        try:
            answer = ask(self._opened(), _answer, self._setup, question)
        except BrokenProcessPool as error:
            self._end()
            raise WorkerDiedError.at_start() from error
        self._can_start = True
        return answer

    def run(self, jobs: Sequence[ChainJob]) -> Iterator[ChainRecord]:
        """Runs chains. Yields each record as its chain ends.

        Raises:
            WorkerDiedError: Every process dies before it has made a policy and a world.
        """
        queue = ChainQueue(jobs)
        while queue:
            if queue.next_is_suspect:
                yield self._run_alone(queue.take())
            else:
                yield from self._run_until_broken(queue)

    def _opened(self) -> ProcessPoolExecutor:
        """The pool. It is made if there is none; processes start as they get something to do."""
        if self._pool is None:
            self._pool = self._stack.enter_context(process_pool(self._num_worlds, self.positions))
        return self._pool

    def _end(self) -> None:
        """Ends the processes. If there is more to do, it is done by new ones."""
        self._pool, self._can_start = None, False
        self._stack.close()

    def _run_until_broken(self, queue: ChainQueue) -> Iterator[ChainRecord]:
        """Runs the queue until it is empty or a process died. Then the chains under way wait to be tried again."""
        pool = self._opened()
        ready = None if self._can_start else pool.submit(_make_worker, self._setup)
        running: dict[Future[ChainRecord], Attempt] = {}
        places: dict[Future[ChainRecord], int] = {}
        free = deque(range(self._num_worlds))
        while (queue or running) and not queue.next_is_suspect:
            while queue and free:
                attempt = queue.take()
                try:
                    future = pool.submit(_run_job, self._setup, attempt.job, free[0])
                except BrokenProcessPool:
                    queue.put_back(attempt)
                    break
                running[future], places[future] = attempt, free.popleft()
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                if ready is not None and isinstance(ready.exception(), BrokenProcessPool):
                    raise WorkerDiedError.at_start()
                done = set(running)
            for future in done:
                attempt, place = running.pop(future), places.pop(future)
                free.append(place)
                if self.positions is not None:
                    self.positions.end(place)
                if isinstance(future.exception(), BrokenProcessPool):
                    queue.retry(attempt, WORKER_DIED, "a worker died")
                else:
                    yield future.result()
        self._end()

    def _run_alone(self, attempt: Attempt) -> ChainRecord:
        """Runs a chain with no other chain beside it, until it ends or has had all its tries."""
        while True:
            with process_pool(1, self.positions) as pool:
                try:
                    return pool.submit(_run_job, self._setup, attempt.job, 0).result()
                except BrokenProcessPool:
                    if self.positions is not None:
                        self.positions.end(0)
            if not attempt.may_try_again(WORKER_DIED, "a worker died"):
                message = (
                    f"the process that ran this chain died {attempt.num_failures} times, the last time with no other "
                    "chain beside it. Look in the system's log for a crash in native code, or for a lack of memory."
                )
                return errored_record(attempt.job, WorkerDiedError(message))


class QuestionProcess:
    """A process that answers questions about one policy after another. Only one is in memory. A context manager."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "QuestionProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def ask(self, setup: WorkerSetup, question: Question[Answer]) -> Answer:
        """Makes a policy and a world, answers the question, and frees them.

        Raises:
            WorkerDiedError: The process died. The next question gets a new one.
            Exception: What making policy and world, or the question, raises.
        """
        if self._pool is None:
            self._pool = self._stack.enter_context(process_pool(1))
        try:
            return ask(self._pool, answered_by_new_worker, setup, question)
        except BrokenProcessPool as error:
            self._pool = None
            raise WorkerDiedError.at_start() from error


@contextmanager
def process_pool(num_processes: int, positions: Positions | None = None) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes that end with the block: at once if it raises an error.

    Args:
        num_processes: How many.
        positions: Where `_run_job` notes progress; None for nowhere.
    """
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(num_processes, FORK_SERVER, initializer=_start_worker, initargs=(positions,))
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


def _answer(setup: WorkerSetup, question: Question[Answer]) -> Answer:
    """The answer of this process's worker, which runs chains later."""
    return question(_worker(setup))


def _make_worker(setup: WorkerSetup) -> None:
    """Makes this process's policy and world before the first chain."""
    _worker(setup).world  # noqa: B018


def _run_job(setup: WorkerSetup, job: ChainJob, place: int) -> ChainRecord:
    worker = _worker(setup)
    marker = Marker(_POSITIONS[0], place) if _POSITIONS else None
    with one_torch_thread():
        return worker.run(job, marker)


def _worker(setup: WorkerSetup) -> Worker:
    """This process's worker, made once: a process runs chains of one setup."""
    if not _WORKERS:
        _WORKERS.append(Worker(setup, owns_process=True))
    return _WORKERS[0]


_WORKERS: list[Worker] = []
"""This process's worker; empty before the first chain."""
