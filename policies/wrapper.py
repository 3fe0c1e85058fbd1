"""Policies around other policies: everything is passed on unless a subclass overrides it.

A subclass that looks at images itself overrides `looks_next`, and returns None there.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from typing_extensions import override

from calvinbench.envs.observation import Observation
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.policy import BatchedPolicy, Decision, Policy, PolicyTraits, State


class PolicyWrapper(Policy):
    """Passes everything on to another policy, except its traits."""

    def __init__(self, policy: Policy, traits: PolicyTraits) -> None:
        """Wraps a policy.

        Args:
            policy: The policy.
            traits: The traits of the wrapped policy.
        """
        self._policy = policy
        self._traits = traits

    @property
    @override
    def traits(self) -> PolicyTraits:
        return self._traits

    @override
    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> State:
        return self._policy.initial_state(batch_size, seeds)

    @override
    def reset_state(self, state: State, rows: Bool[np.ndarray, " B"]) -> State:
        return self._policy.reset_state(state, rows)

    @override
    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: State,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        return self._policy.act(observations, instructions, state, privileged)

    def looks_next(self, state: State) -> Bool[np.ndarray, " B"] | None:
        """Which worlds' images the wrapped policy looks at, see `looking.LooksAhead`; None if it does not say."""
        method = getattr(self._policy, "looks_next", None)
        rows: Bool[np.ndarray, " B"] | None = None if method is None else method(state)
        return rows


class BatchedPolicyWrapper(PolicyWrapper, BatchedPolicy):
    """The same for a policy that serves worlds that begin at different times."""

    _policy: BatchedPolicy

    @override
    def put_state(self, state: State, rows: Bool[np.ndarray, " B"], part: State) -> State:
        return self._policy.put_state(state, rows, part)

    @override
    def expect(self, instructions: Sequence[str]) -> None:
        self._policy.expect(instructions)
