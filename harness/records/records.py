"""The record of a chain: a line of `chains.jsonl`."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from annotated_types import MinLen

from calvinbench.envs.chain_env import SOLVED, TIMED_OUT
from calvinbench.envs.chains import CHAIN_LENGTH
from calvinbench.harness.records.action_summary import ActionSummary
from calvinbench.harness.records.typed_reading import Amount, Count, InvalidFieldError, Name, read_as

ERRORED = "errored"
OUTCOMES = (SOLVED, TIMED_OUT, ERRORED)
NUM_SUBTASKS = CHAIN_LENGTH
"""Of CALVIN's chains and published results. For the chains of a run, see `Run.chain_length`."""
_FREE_TEXTS = ("error", "traceback")
"""These fields may quote file names that are not Unicode."""
_MILLISECONDS = re.compile(r"\d+(\.\d+)?(e[+-]?\d{1,2})?", re.ASCII)
"""The format of the keys of `policy_ms_counts`."""


@dataclass(frozen=True, slots=True)
class SubtaskRecord:
    """One subtask that a policy reached.

    Attributes:
        task: The task's name.
        instruction: The instruction that the policy got.
        outcome: `solved`, `timed_out` or `errored`.
        steps: Number of actions.
        seconds: Wall-clock time.
        policy_ms: Mean time of the policy per step, in milliseconds; None without a step.
        world_ms: Mean time of the world per step, in milliseconds; None without a step.
        action_change: Mean Euclidean change of the action from one step to the next, without the gripper, in the units
            of the policy's action convention; None with fewer than two steps.
        policy_ms_counts: The number of steps for each time of the policy, in milliseconds rounded to two significant
            digits; None in older records.
        gripper_changes: How often the gripper command changed from open to close or back; None in older records.
        actions: Summary of the actions; None without a step, and in older records.
    """

    task: Name
    instruction: str
    outcome: str
    steps: Count
    seconds: Amount
    policy_ms: Amount | None
    world_ms: Amount | None
    action_change: Amount | None
    policy_ms_counts: Mapping[str, Count] | None = None
    gripper_changes: Count | None = None
    actions: ActionSummary | None = None

    @classmethod
    def from_json(cls, values: Any) -> "SubtaskRecord":
        """Reads what `asdict` made. Unknown keys are ignored, because a later version may have added them.

        Raises:
            InvalidFieldError: A field is missing, of another type or out of its range.
        """
        record = read_as(cls, values)
        record._require_known("")
        return record

    def _require_known(self, path: str) -> None:
        """Checks what types cannot express: known outcomes, and times in the right format."""
        _require_outcome(self.outcome, f"{path}outcome")
        for milliseconds in self.policy_ms_counts or {}:
            if not _MILLISECONDS.fullmatch(milliseconds):
                raise InvalidFieldError(f"{path}policy_ms_counts", "milliseconds such as '1.5' as keys", milliseconds)

    def without_times(self) -> "SubtaskRecord":
        """The record with all times set to zero, to compare runs."""
        return replace(
            self,
            seconds=0.0,
            policy_ms=None if self.policy_ms is None else 0.0,
            world_ms=None if self.world_ms is None else 0.0,
            policy_ms_counts=None,
        )


@dataclass(frozen=True, slots=True)
class ChainRecord:
    """One finished chain.

    Attributes:
        chain: Its number in the list of chains, from 0.
        initial_state: The symbolic state that the world started from.
        subtasks: The subtasks that were reached, in order.
        completed: Number of solved subtasks, from 0 to the chain's length.
        outcome: `solved` if all subtasks were solved, else why the chain ended: `timed_out` or `errored`.
        error: The last line of the traceback; None without an error.
        traceback: The whole traceback; None without an error.
        lead_in: Tasks that the expert did before the first subtask, to reach a state from which it is possible.
    """

    chain: Count
    initial_state: Mapping[str, int | str]
    subtasks: Annotated[tuple[SubtaskRecord, ...], MinLen(1)]
    completed: Count
    outcome: str
    error: str | None = None
    traceback: str | None = None
    lead_in: tuple[Name, ...] = ()

    @property
    def printable_error(self) -> str | None:
        """The error, with backslashes for bytes that are not Unicode, so that every file can hold it."""
        return None if self.error is None else self.error.encode("utf-8", "backslashreplace").decode()

    def without_times(self) -> "ChainRecord":
        """The record with all times set to zero, to compare runs."""
        return replace(self, subtasks=tuple(subtask.without_times() for subtask in self.subtasks))

    def to_json(self) -> dict[str, Any]:
        """A mapping that `json` can write."""
        return asdict(replace(self, initial_state=dict(self.initial_state)))

    @classmethod
    def from_json(cls, values: Any) -> "ChainRecord":
        """Reads what `to_json` made. Unknown keys are ignored, because a later version may have added them.

        Raises:
            InvalidFieldError: A field is missing, of another type or out of its range, or contradicts another.
        """
        record = read_as(cls, values, _FREE_TEXTS)
        record._require_consistent()
        return record

    def _require_consistent(self) -> None:
        """Checks that fields agree: a chain ends with its first unsolved subtask."""
        _require_outcome(self.outcome, "outcome")
        *before, last = self.subtasks
        for place, subtask in enumerate(self.subtasks):
            subtask._require_known(f"subtasks.{place}.")
        for place, subtask in enumerate(before):
            if subtask.outcome != SOLVED:
                raise InvalidFieldError(
                    f"subtasks.{place}.outcome", f"'{SOLVED}', because another follows", subtask.outcome
                )
        if self.outcome != last.outcome:
            raise InvalidFieldError("outcome", f"'{last.outcome}', as of its last subtask", self.outcome)
        num_solved = len(before) + (last.outcome == SOLVED)
        if self.completed != num_solved:
            raise InvalidFieldError(
                "completed", f"{num_solved}, as many as its subtasks that were solved", self.completed
            )


def _require_outcome(outcome: str, path: str) -> None:
    if outcome not in OUTCOMES:
        raise InvalidFieldError(path, f"one of {', '.join(OUTCOMES)}", outcome)
