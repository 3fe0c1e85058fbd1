"""What is kept of a chain: the lines of `chains.jsonl`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from calvinbench.envs.chain_env import SOLVED, TIMED_OUT
from calvinbench.harness.action_summary import ActionSummary

ERRORED = "errored"
OUTCOMES = (SOLVED, TIMED_OUT, ERRORED)
NUM_SUBTASKS = 5
_LATER = ("policy_ms_counts", "gripper_changes", "actions")
"""Fields that older records lack."""


@dataclass(frozen=True, slots=True)
class SubtaskRecord:
    """One subtask that a policy reached.

    Attributes:
        task: The task's name.
        instruction: The sentence that the policy was given.
        outcome: `solved`, `timed_out` or `errored`.
        steps: Actions taken.
        seconds: Wall-clock time.
        policy_ms: Mean milliseconds a step that the policy took; None without a step.
        world_ms: Mean milliseconds a step that the world took; None without a step.
        action_change: Mean Euclidean change of the action, gripper left out, from one step to the next; in the units of
            the policy's action convention. None with fewer than two steps.
        policy_ms_counts: How many steps took the policy so many milliseconds, rounded to two digits that count; None in
            records of before it was kept.
        gripper_changes: How often the gripper's command turned from open to close or back; None in records of before it
            was kept.
        actions: What the actions were like; None without a step, and in records of before it was kept.
    """

    task: str
    instruction: str
    outcome: str
    steps: int
    seconds: float
    policy_ms: float | None
    world_ms: float | None
    action_change: float | None
    policy_ms_counts: Mapping[str, int] | None = None
    gripper_changes: int | None = None
    actions: ActionSummary | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SubtaskRecord":
        """Reads what `asdict` made; keys that a later version may add are passed over.

        Raises:
            KeyError: A key is missing.
        """
        known = {name: values[name] for name in cls.__slots__ if name in values or name not in _LATER}
        if known.get("actions") is not None:
            known["actions"] = ActionSummary.from_json(known["actions"])
        return cls(**known)

    def without_times(self) -> "SubtaskRecord":
        """The same with its clock readings set to zero, for comparing runs."""
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
        subtasks: Those that were reached, in order.
        completed: How many were solved, 0..5.
        outcome: `solved` where all were, else why it ended: `timed_out` or `errored`.
        error: The last line of the traceback; None without an error.
        traceback: The whole traceback; None without an error.
        lead_in: Tasks that the expert did before the first subtask began, to reach a state that allows it.
    """

    chain: int
    initial_state: Mapping[str, int | str]
    subtasks: tuple[SubtaskRecord, ...]
    completed: int
    outcome: str
    error: str | None = None
    traceback: str | None = None
    lead_in: tuple[str, ...] = ()

    def without_times(self) -> "ChainRecord":
        """The same with its clock readings set to zero, for comparing runs."""
        return replace(self, subtasks=tuple(subtask.without_times() for subtask in self.subtasks))

    def to_json(self) -> dict[str, Any]:
        """A mapping that `json` can write."""
        return asdict(replace(self, initial_state=dict(self.initial_state)))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ChainRecord":
        """Reads what `to_json` made; keys that a later version may add are passed over.

        Raises:
            KeyError: A key is missing.
        """
        return cls(
            chain=values["chain"],
            initial_state=values["initial_state"],
            subtasks=tuple(SubtaskRecord.from_json(subtask) for subtask in values["subtasks"]),
            completed=values["completed"],
            outcome=values["outcome"],
            error=values.get("error"),
            traceback=values.get("traceback"),
            lead_in=tuple(values.get("lead_in", ())),
        )
