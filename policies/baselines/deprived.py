"""A policy with black images or without the instruction: controls that show whether its success depends on them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool
from typing_extensions import override

from calvinbench.envs.observation import CAMERA_SIZES, Observation
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.policy import BatchedPolicy, Decision, PolicyTraits, State

NO_INSTRUCTION = "do it"
"""The instruction of every task without its instruction: a sentence that says nothing, as models need a sentence."""


class DeprivedPolicy(BatchedPolicy):
    """Another policy that is given black images, instructions that say nothing, or both."""

    def __init__(self, policy: BatchedPolicy, *, blind: bool = False, deaf: bool = False) -> None:
        """Wraps a policy.

        Args:
            policy: The policy.
            blind: Whether every image is black.
            deaf: Whether every instruction is `NO_INSTRUCTION`.
        """
        self._policy, self._blind, self._deaf = policy, blind, deaf
        lacks = [word for word, is_so in (("blind", blind), ("deaf", deaf)) if is_so]
        self._traits = replace(policy.traits, label=", ".join([policy.traits.label, *lacks]))

    @property
    @override
    def traits(self) -> PolicyTraits:
        """Those of the policy. The label says what is withheld."""
        return self._traits

    @override
    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> State:
        return self._policy.initial_state(batch_size, seeds)

    @override
    def reset_state(self, state: State, rows: Bool[np.ndarray, " B"]) -> State:
        return self._policy.reset_state(state, rows)

    @override
    def put_state(self, state: State, rows: Bool[np.ndarray, " B"], part: State) -> State:
        return self._policy.put_state(state, rows, part)

    @override
    def expect(self, instructions: Sequence[str]) -> None:
        self._policy.expect([NO_INSTRUCTION] if self._deaf else instructions)

    @override
    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: State,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        if self._blind:
            black = {
                key: np.zeros_like(getattr(observations, key))
                for camera in CAMERA_SIZES
                for key in (f"rgb_{camera}", f"depth_{camera}")
                if getattr(observations, key) is not None
            }
            observations = replace(observations, **black)
        given = [NO_INSTRUCTION] * len(instructions) if self._deaf else instructions
        return self._policy.act(observations, given, state, privileged)
