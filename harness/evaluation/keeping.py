"""Chains as they end: each is kept and told of, and a run that only errs is stopped."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from calvinbench.harness.records.description import RunDescription
from calvinbench.harness.records.errored_chains import (
    MAX_ERRORS_IN_A_ROW,
    ErrorsInARow,
    FirstErrorError,
    OnlyErrorsError,
)
from calvinbench.harness.records.records import ERRORED, ChainRecord
from calvinbench.harness.records.run_directory import CHAINS_FILE, RunWriter
from calvinbench.harness.rollout.error_traceback import first_error_in_words
from calvinbench.harness.rollout.positions import Positions, PositionSubscriber

_logger = logging.getLogger(__name__)


@runtime_checkable
class Subscriber(Protocol):
    """Is told how an evaluation goes."""

    def run_began(self, description: RunDescription, finished: Sequence[ChainRecord]) -> None:
        """A run begins, or goes on with these chains already finished."""
        ...

    def chain_finished(self, record: ChainRecord) -> None:
        """A chain of the run ended and is kept."""
        ...

    def run_ended(self) -> None:
        """No more of this run will come, whether it is complete or was stopped."""
        ...


@dataclass(frozen=True, slots=True)
class KeptRun:
    """What is known of a run as it begins, and who is told how it goes.

    Attributes:
        description: What it is.
        finished: Chains that are there and are not run again.
        num_jobs: Chains that are to be run.
        directory: Its folder.
        subscribers: Told of each chain.
        fail_fast: Whether the first chain that errors stops the run.
        positions: Tells how far the chains under way are; None where nobody notes it.
    """

    description: RunDescription
    finished: Sequence[ChainRecord]
    num_jobs: int
    directory: Path
    subscribers: Sequence[Subscriber]
    fail_fast: bool = False
    positions: Positions | None = None


def keep(writer: RunWriter, run: KeptRun, records: Iterator[ChainRecord]) -> None:
    """Keeps each chain as it ends and tells of it.

    Raises:
        OnlyErrorsError: `MAX_ERRORS_IN_A_ROW` chains one after the other errored with the same reason, and more are to
            come.
        FirstErrorError: A chain errored, and that is to stop the run.
        OSError: The folder cannot be written.
    """
    for subscriber in run.subscribers:
        if run.positions is not None and isinstance(subscriber, PositionSubscriber):
            subscriber.positions_known(run.positions)
        subscriber.run_began(run.description, run.finished)
    errors = ErrorsInARow()
    has_errored = False
    try:
        with closing(records):  # type: ignore[type-var]
            for count, record in enumerate(records, start=1):
                writer.append(record)
                for subscriber in run.subscribers:
                    subscriber.chain_finished(record)
                if record.outcome == ERRORED and not has_errored:
                    has_errored = True
                    shown = first_error_in_words(record, run.directory / CHAINS_FILE)
                    if shown is not None:
                        _logger.warning("%s", shown)
                    if run.fail_fast:
                        raise FirstErrorError(
                            f"stopped {run.description.name} at its first error, as fail_fast asks, in chain "
                            f"{record.chain}: {record.error}\nThe {len(writer.records)} chains that ended are kept in "
                            f"'{run.directory}'. The same command goes on with those that are missing; with "
                            "--retry-errored it also runs again those that errored."
                        )
                if errors.add(record) and count < run.num_jobs:
                    raise OnlyErrorsError(
                        f"stopped {run.description.name}, for {MAX_ERRORS_IN_A_ROW} chains in a row errored with the "
                        f"same reason: {record.error}\nThe {len(writer.records)} chains that ended are kept in "
                        f"'{run.directory}'. Mend the cause and give the same command again with --retry-errored; "
                        "without it the chains that errored stay as they are."
                    )
    finally:
        for subscriber in run.subscribers:
            subscriber.run_ended()
