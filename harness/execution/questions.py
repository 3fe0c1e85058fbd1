"""Questions about a policy and its world, answered in the process that makes them.

The driver need not make a policy to learn about it. The first worker process makes it, answers, and then runs chains.
A policy that takes minutes to load is therefore loaded once. What is logged meanwhile is logged again by the driver,
because only the driver's log is set up.
"""

import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from calvinbench.harness.rollout.workers import Worker, WorkerSetup, one_torch_thread

Answer = TypeVar("Answer")
Question = Callable[[Worker], Answer]
"""A module-level function, or a `functools.partial` of one, so that it can be sent to a process."""
_PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True, slots=True)
class _Reply:
    """What a process sends back.

    Attributes:
        answer: To the question.
        error: What was raised instead.
        logged: Log records.
    """

    answer: Any
    error: Exception | None
    logged: list[logging.LogRecord]


def ask(
    pool: Executor,
    answer: Callable[[WorkerSetup, Question[Answer]], Answer],
    setup: WorkerSetup,
    question: Question[Answer],
) -> Answer:
    """Lets a process of a pool answer a question.

    Args:
        pool: The processes.
        answer: Answers it there, by a worker. A module-level function.
        setup: What the worker is made from.
        question: Is called with the worker.

    Raises:
        BrokenExecutor: The process died.
        Exception: What `answer` raises.
    """
    reply = pool.submit(_reply, answer, setup, question).result()
    for record in reply.logged:
        logging.getLogger(record.name).handle(record)
    if reply.error is not None:
        raise reply.error
    found: Answer = reply.answer
    return found


def answered_by_new_worker(setup: WorkerSetup, question: Question[Answer]) -> Answer:
    """Makes a policy and a world, answers the question, and frees them."""
    worker = Worker(setup, owns_process=True)
    try:
        return question(worker)
    finally:
        worker.release()


def _reply(answer: Callable[[WorkerSetup, Question[Any]], Any], setup: WorkerSetup, question: Question[Any]) -> _Reply:
    """Runs in the process."""
    found, failed = None, None
    with _collected_log() as logged, one_torch_thread():
        try:
            found = answer(setup, question)
        except Exception as error:  # noqa: BLE001  the driver raises it
            failed = _to_send(error)
            failed.add_note(f"In the process of a worker:\n{traceback.format_exc()}")
    return _Reply(found, failed, logged)


def _to_send(error: Exception) -> Exception:
    """The error itself if the driver can read it; otherwise one of the same kind with the same words."""
    if type(error).__module__.partition(".")[0] in (_PACKAGE, "builtins"):
        try:
            if str(pickle.loads(pickle.dumps(error))) == str(error):  # noqa: S301  our own bytes
                return error
        except Exception:  # noqa: BLE001, S110  its constructor wants other arguments
            pass
    return ValueError(str(error)) if isinstance(error, ValueError) else RuntimeError(f"{type(error).__name__}: {error}")


@contextmanager
def _collected_log() -> Iterator[list[logging.LogRecord]]:
    """Collects what is logged in this process, from the levels on that the command line shows."""
    collected = _Collected()
    root, ours = logging.getLogger(), logging.getLogger(_PACKAGE)
    before = ours.level
    root.addHandler(collected)
    ours.setLevel(logging.INFO)
    try:
        yield collected.records
    finally:
        root.removeHandler(collected)
        ours.setLevel(before)


class _Collected(logging.Handler):
    """Keeps log records in a form that can be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self.records.append(record)
