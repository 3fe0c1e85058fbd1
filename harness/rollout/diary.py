"""Takes notes while a chain runs, and makes its record."""

import traceback
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.chain_env import SOLVED
from calvinbench.envs.observation import ActionConvention
from calvinbench.harness import clock
from calvinbench.harness.records.action_summary import ActionSummary
from calvinbench.harness.records.records import ERRORED, ChainRecord, SubtaskRecord
from calvinbench.harness.rollout.jobs import ChainJob
from calvinbench.harness.rollout.positions import Marker

_MAX_CHANGE = 1e9
"""Of an action from one step to the next: a larger one, whose square may overflow, counts as this."""
_MAX_ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True)
class ErrorText:
    """An error as records keep it. Unlike some exceptions, it can be sent to another process.

    Attributes:
        line: The last line of its traceback.
        traceback: The whole traceback.
    """

    line: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> "ErrorText":
        """The text of an exception."""
        last_lines = "".join(traceback.format_exception_only(error))
        line = " ".join(last_lines.split())[:_MAX_ERROR_LENGTH]
        return cls(line, "".join(traceback.format_exception(error)))


@dataclass(slots=True)
class Diary:
    """Takes notes while a chain runs, and makes its record. With a marker, others see each step at once."""

    job: ChainJob
    convention: ActionConvention = ActionConvention.REL_ACTIONS
    subtasks: list[SubtaskRecord] = field(default_factory=list)
    error: str | None = None
    traceback: str | None = None
    _instruction: str = ""
    _began: float = field(default_factory=clock.seconds)
    _policy_seconds: list[float] = field(default_factory=list)
    _world_seconds: list[float] = field(default_factory=list)
    _changes: list[float] = field(default_factory=list)
    _gripper_changes: int = 0
    _actions: list[Float64[np.ndarray, " action_dim"]] = field(default_factory=list)
    marker: Marker | None = None

    def __post_init__(self) -> None:
        if self.marker is not None:
            self.marker.positions.begin(self.marker.place, self.job)

    def begin_subtask(self, instruction: str) -> None:
        """Notes that a subtask begins with this instruction."""
        self._instruction = instruction
        self._began = clock.seconds()
        self._policy_seconds, self._world_seconds, self._changes = [], [], []
        self._gripper_changes, self._actions = 0, []
        self._mark()

    def note_step(
        self, action: Float64[np.ndarray, " action_dim"], policy_seconds: float, world_seconds: float
    ) -> None:
        """Notes an action, and the time that the policy and the world took."""
        self._policy_seconds.append(policy_seconds)
        self._world_seconds.append(world_seconds)
        if self._actions:
            last = self._actions[-1]
            self._changes.append(min(float(np.linalg.norm((action - last)[:-1])), _MAX_CHANGE))
            self._gripper_changes += int((action[-1] > 0) != (last[-1] > 0))
        self._actions.append(action.copy())  # the policy may reuse the array
        self._mark()

    def _mark(self) -> None:
        if self.marker is not None:
            self.marker.positions.move(self.marker.place, len(self.subtasks) + 1, len(self._policy_seconds))

    def end_subtask(self, outcome: str) -> None:
        """Notes the outcome of the current subtask."""
        self.subtasks.append(
            SubtaskRecord(
                task=self.job.chain.subtasks[len(self.subtasks)],
                instruction=self._instruction,
                outcome=outcome,
                steps=len(self._policy_seconds),
                seconds=round(clock.seconds() - self._began, 6),
                policy_ms=_mean(self._policy_seconds, scale=1e3),
                world_ms=_mean(self._world_seconds, scale=1e3),
                action_change=_mean(self._changes),
                policy_ms_counts=dict(Counter(_two_digits(1e3 * seconds) for seconds in self._policy_seconds)) or None,
                gripper_changes=self._gripper_changes,
                actions=ActionSummary.of(self._actions, self.convention) if self._actions else None,
            )
        )

    def note_error(self, error: "BaseException | ErrorText") -> None:
        """Notes an error of this process or another one. It ends the current subtask."""
        text = error if isinstance(error, ErrorText) else ErrorText.of(error)
        self.error, self.traceback = text.line, text.traceback
        self.end_subtask(ERRORED)

    def leave(self) -> None:
        """Marks the chain as not running: it is over, or waits to be tried again."""
        if self.marker is not None:
            self.marker.positions.end(self.marker.place)

    def record(self) -> ChainRecord:
        """The record of the chain, which must be over."""
        self.leave()
        return ChainRecord(
            chain=self.job.number,
            initial_state=dict(self.job.chain.initial_state),
            subtasks=tuple(self.subtasks),
            completed=sum(subtask.outcome == SOLVED for subtask in self.subtasks),
            outcome=self.subtasks[-1].outcome,
            error=self.error,
            traceback=self.traceback,
            lead_in=self.job.chain.lead_in,
        )


def errored_record(job: ChainJob, error: Exception) -> ChainRecord:
    """The record of a chain that could not be run, for example because its process died."""
    diary = Diary(job)
    diary.note_error(error)
    return diary.record()


def _two_digits(number: float) -> str:
    """`12.34` as `12`, `0.1234` as `0.12`, `1234` as `1200`."""
    return f"{float(f'{number:.2g}'):g}"


def _mean(values: list[float], scale: float = 1.0) -> float | None:
    return round(scale * float(np.mean(values)), 6) if values else None
