"""The scripted expert of `calvinbench.envs.expert` as a policy: an upper bound in tables, marked as privileged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64
from typing_extensions import override

from calvinbench.envs.observation import ActionConvention, Observation
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.baselines.rows import RowsPolicy
from calvinbench.policies.batch import require_rows
from calvinbench.policies.policy import Decision, Memory, PolicyTraits
from calvinbench.policies.spec import refuse_argument


@runtime_checkable
class ScriptedExpert(Protocol):
    """What the policy needs of an expert for one world."""

    def act(self, state: PrivilegedState) -> Float64[np.ndarray, "7"]:
        """One relative action. A new task begins when `state` names another task than before."""
        ...


ExpertState = tuple[ScriptedExpert, ...]
"""One expert a world. Experts change while they act, so that a state cannot be used twice."""


class ExpertPolicy(RowsPolicy):
    """One scripted expert a world. Each reads the true state of its world and the name of its task."""

    def __init__(self, make_expert: Callable[[], ScriptedExpert], memory_reset: str = "subtask") -> None:
        """Takes the expert's class.

        Args:
            make_expert: Makes an expert for one world.
            memory_reset: `"subtask"` or `"chain"`. The expert makes a new plan for each task either way.
        """
        self._make_expert = make_expert
        self._traits = PolicyTraits(
            label="expert",
            action_convention=ActionConvention.REL_ACTIONS,
            memory=Memory(span="unbounded", reset=memory_reset),
            privileged=True,
        )

    @property
    @override
    def traits(self) -> PolicyTraits:
        """It is privileged: it reads no observation, but the true state of the world."""
        return self._traits

    @override
    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> ExpertState:
        """A new expert for each world."""
        return tuple(self._make_expert() for _ in range(batch_size))

    @override
    def reset_state(self, state: ExpertState, rows: Bool[np.ndarray, " B"]) -> ExpertState:
        """A new expert for each marked world."""
        require_rows(rows, len(state))
        return tuple(self._make_expert() if forget else expert for expert, forget in zip(state, rows, strict=True))

    @override
    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: ExpertState,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        """Each expert's next action.

        Raises:
            ValueError: There is not one `PrivilegedState` a world.
        """
        if privileged is None or len(privileged) != len(state):
            given = "None" if privileged is None else len(privileged)
            raise ValueError(
                f"expected one PrivilegedState for each of {len(state)} worlds, got {given}. "
                "A policy with traits.privileged needs the true state: see envs.chain_env.privileged_state."
            )
        return Decision(np.stack([expert.act(truth) for expert, truth in zip(state, privileged, strict=True)]), state)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertSettings:
    """Settings of the scripted expert.

    Attributes:
        memory_reset: When the memory is reset: at each new `subtask` or at each new `chain`. The expert makes a new
            plan for each task either way.
    """

    memory_reset: Literal["subtask", "chain"] = "subtask"


def make_expert_policy(
    argument: str | None,
    settings: ExpertSettings = ExpertSettings(),
) -> ExpertPolicy:
    """Makes `expert`."""
    refuse_argument("expert", argument)
    from calvinbench.envs.expert.expert import Expert

    return ExpertPolicy(Expert, settings.memory_reset)
