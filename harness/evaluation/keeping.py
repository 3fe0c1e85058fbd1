"""Keeps each chain as it ends, informs subscribers, and stops a run in which all chains err."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from calvinbench.harness.counted import counted
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
    """Is informed while an evaluation runs."""

    def run_began(self, description: RunDescription, finished: Sequence[ChainRecord]) -> None:
        """A run begins, or continues after these finished chains."""
        ...

    def chain_finished(self, record: ChainRecord) -> None:
        """A chain of the run has ended, and its record is kept."""
        ...

    def run_ended(self) -> None:
        """The run is complete or was stopped."""
        ...


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run as it begins, and its subscribers.

    Attributes:
        description: Of the run.
        finished: Finished chains that are not run again.
        num_jobs: Number of chains to run.
        directory: The run's folder.
        subscribers: Informed of each chain.
        fail_fast: Whether the first errored chain stops the run.
        positions: Progress of the running chains; None if it is not noted.
    """

    description: RunDescription
    finished: Sequence[ChainRecord]
    num_jobs: int
    directory: Path
    subscribers: Sequence[Subscriber]
    fail_fast: bool = False
    positions: Positions | None = None


def keep(writer: RunWriter, run: KeptRun, records: Iterator[ChainRecord]) -> None:
    """Keeps each chain as it ends, and informs the subscribers.

    Raises:
        OnlyErrorsError: `MAX_ERRORS_IN_A_ROW` chains in a row errored for the same reason, and more chains are left.
        FirstErrorError: A chain errored, and `fail_fast` is set.
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
                            f"stopped {run.description.name} at its first error, because of fail_fast, in chain "
                            f"{record.chain}: {record.error}\nKept: {counted(len(writer.records), 'chain')} in "
                            f"'{run.directory}'. Run the same command again to resume; with --retry-errored it also "
                            "runs the errored chains again."
                        )
                if errors.add(record) and count < run.num_jobs:
                    raise OnlyErrorsError(
                        f"stopped {run.description.name}, because {MAX_ERRORS_IN_A_ROW} chains in a row errored for "
                        f"the same reason: {record.error}\nKept: {counted(len(writer.records), 'chain')} in "
                        f"'{run.directory}'. Fix the cause and run the same command again with --retry-errored; "
                        "without it the errored chains stay errored."
                    )
    finally:
        for subscriber in run.subscribers:
            subscriber.run_ended()
