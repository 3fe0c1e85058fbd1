"""A policy for tests, without torch: it replays a list of actions."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64
from typing_extensions import override

from calvinbench.envs.observation import ActionConvention, Observation
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.baselines.rows import RowsPolicy
from calvinbench.policies.batch import require_batch, require_rows
from calvinbench.policies.policy import Decision, Memory, PolicyTraits

FakeState = tuple[int, ...]
"""The number of each world's next action."""


class FakePolicy(RowsPolicy):
    """Gives each world the same actions in turn. It begins again after the last action and after a reset."""

    def __init__(
        self,
        actions: Float64[np.ndarray, "num_actions action_dim"],
        action_convention: ActionConvention = ActionConvention.REL_ACTIONS,
        observation_keys: tuple[str, ...] = (),
        memory_reset: str = "subtask",
    ) -> None:
        """Takes the actions to replay.

        Args:
            actions: One action a row, at least one.
            action_convention: What they mean.
            observation_keys: The observations that the policy declares.
            memory_reset: When it begins again with the first action.

        Raises:
            ValueError: There is no action, or actions do not have the length of the convention.
        """
        if actions.shape[0] < 1 or actions.shape[1] != action_convention.action_dim:
            raise ValueError(
                f"expected actions of shape (at least 1, {action_convention.action_dim}) for '{action_convention}', "
                f"got {actions.shape}."
            )
        self._actions = actions.copy()
        self._traits = PolicyTraits(
            label="fake",
            action_convention=action_convention,
            observation_keys=observation_keys,
            memory=Memory(span="unbounded", reset=memory_reset),
        )

    @property
    @override
    def traits(self) -> PolicyTraits:
        """Its memory is its place in the list."""
        return self._traits

    @override
    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> FakeState:
        """Every world begins with the first action."""
        return (0,) * batch_size

    @override
    def reset_state(self, state: FakeState, rows: Bool[np.ndarray, " B"]) -> FakeState:
        """The marked worlds begin with the first action again."""
        require_rows(rows, len(state))
        return tuple(0 if forget else place for place, forget in zip(state, rows, strict=True))

    @override
    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: FakeState,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        """The action at each world's place in the list.

        Raises:
            ValueError: Instructions and state are for different numbers of worlds.
        """
        require_batch("a state", len(state), len(instructions))
        places = [place % len(self._actions) for place in state]
        return Decision(self._actions[places], tuple(place + 1 for place in places))
