"""A policy that is kept from seeing or hearing: controls that show whether its success comes from what it is given."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from calvinbench.envs.observation import CAMERA_SIZES, Observation
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.policy import BatchedPolicy, Decision, PolicyTraits, State

NO_INSTRUCTION = "do it"
"""What a deaf policy is told whatever the task is: a sentence that says nothing, for models refuse an empty one."""


class DeprivedPolicy:
    """Another policy whose pictures are black, whose instructions say nothing, or both."""

    def __init__(self, policy: BatchedPolicy, *, blind: bool = False, deaf: bool = False) -> None:
        """Wraps a policy.

        Args:
            policy: The policy.
            blind: Whether every picture is zeros.
            deaf: Whether every instruction is `NO_INSTRUCTION`.
        """
        self._policy, self._blind, self._deaf = policy, blind, deaf
        lacks = [word for word, is_so in (("blind", blind), ("deaf", deaf)) if is_so]
        self._traits = replace(policy.traits, label=", ".join([policy.traits.label, *lacks]))

    @property
    def traits(self) -> PolicyTraits:
        """Those of the policy; the label says what it is kept from."""
        return self._traits

    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> State:
        """See `Policy.initial_state`."""
        return self._policy.initial_state(batch_size, seeds)

    def reset_state(self, state: State, rows: Bool[np.ndarray, " B"]) -> State:
        """See `Policy.reset_state`."""
        return self._policy.reset_state(state, rows)

    def put_state(self, state: State, rows: Bool[np.ndarray, " B"], part: State) -> State:
        """See `BatchedPolicy.put_state`."""
        return self._policy.put_state(state, rows, part)

    def expect(self, instructions: Sequence[str]) -> None:
        """See `BatchedPolicy.expect`."""
        self._policy.expect([NO_INSTRUCTION] if self._deaf else instructions)

    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: State,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        """See `Policy.act`."""
        if self._blind:
            seen = {
                key: np.zeros_like(getattr(observations, key))
                for camera in CAMERA_SIZES
                for key in (f"rgb_{camera}", f"depth_{camera}")
                if getattr(observations, key) is not None
            }
            observations = replace(observations, **seen)
        told = [NO_INSTRUCTION] * len(instructions) if self._deaf else instructions
        return self._policy.act(observations, told, state, privileged)
