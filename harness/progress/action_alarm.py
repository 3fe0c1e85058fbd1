"""Warns during a run if the policy's actions look wrong, so that nobody waits a day for a success rate of 0%."""

import logging
from collections.abc import Sequence

from calvinbench.harness.analysis.actions.action_watch import findings_of_records
from calvinbench.harness.records.description import RunDescription
from calvinbench.harness.records.records import ChainRecord

MIN_CHAINS, MAX_CHAINS = 3, 20
"""The actions are checked after each chain between these two. The notes below the table check all chains at the end."""
_logger = logging.getLogger(__name__)


class ActionAlarm:
    """A subscriber that logs at most one warning for each run, after a few chains."""

    def __init__(self) -> None:
        """Waits for a run."""
        self._description: RunDescription | None = None
        self._records: list[ChainRecord] = []

    def run_began(self, description: RunDescription, finished: Sequence[ChainRecord]) -> None:
        """Starts to watch a run."""
        self._description, self._records = description, list(finished)

    def chain_finished(self, record: ChainRecord) -> None:
        """Checks the first chains, until something is found."""
        described = self._description
        if described is None:
            return
        self._records.append(record)
        if len(self._records) >= MIN_CHAINS:
            self._warn_of(described)
        if len(self._records) >= MAX_CHAINS:
            self._description = None

    def run_ended(self) -> None:
        """Checks a run of few chains, and stops watching."""
        if self._description is not None and self._records:
            self._warn_of(self._description)
        self._description = None

    def _warn_of(self, described: RunDescription) -> None:
        """Warns if something is found, and then stops watching."""
        found = findings_of_records(self._records, described.policy, described.action_convention)
        if found:
            self._description = None
            _logger.warning(
                "The actions of %s look wrong: %s. For details, run: calvinbench check '%s'",
                described.name,
                "; ".join(found),
                described.policy,
            )
