"""A policy with blank images or without the instruction: controls that show whether its success depends on them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from typing_extensions import override

from calvinbench.envs.observation import CAMERA_SIZES, Observation
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.policy import BatchedPolicy, Decision, State
from calvinbench.policies.wrapper import BatchedPolicyWrapper

NO_INSTRUCTION = "do it"
"""The sentence in place of every instruction. It says nothing about the task; models need some sentence."""


class DeprivedPolicy(BatchedPolicyWrapper):
    """Another policy, which gets blank images, a sentence that says nothing, or both. Its label says so."""

    def __init__(self, policy: BatchedPolicy, *, blank_images: bool = False, no_instruction: bool = False) -> None:
        """Wraps a policy.

        Args:
            policy: The policy.
            blank_images: Whether every image and every depth is zero.
            no_instruction: Whether every instruction is `NO_INSTRUCTION`.
        """
        words = (("with blank images", blank_images), ("without the instruction", no_instruction))
        label = ", ".join([policy.traits.label, *(word for word, is_so in words if is_so)])
        super().__init__(policy, replace(policy.traits, label=label))
        self._has_blank_images, self._has_no_instruction = blank_images, no_instruction

    @override
    def expect(self, instructions: Sequence[str]) -> None:
        self._policy.expect([NO_INSTRUCTION] if self._has_no_instruction else instructions)

    @override
    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: State,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        if self._has_blank_images:
            blank = {
                key: np.zeros_like(getattr(observations, key))
                for camera in CAMERA_SIZES
                for key in (f"rgb_{camera}", f"depth_{camera}")
                if getattr(observations, key) is not None
            }
            observations = replace(observations, **blank)
        given = [NO_INSTRUCTION] * len(instructions) if self._has_no_instruction else instructions
        return self._policy.act(observations, given, state, privileged)
