"""A policy under a label that the user chose for tables and figures."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool
from typing_extensions import override

from calvinbench.envs.observation import Observation
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.policy import BatchedPolicy, Decision, Policy, PolicyTraits, State


class RelabelledPolicy(Policy):
    """A policy with another label in its traits. Everything else is unchanged."""

    def __init__(self, policy: Policy, label: str) -> None:
        """Wraps a policy.

        Args:
            policy: The policy.
            label: The policy's name in tables.

        Raises:
            ValueError: The label is blank.
        """
        self._policy = policy
        self._traits = replace(policy.traits, label=label)

    def __getattr__(self, name: str) -> Any:
        """Attributes of the policy beyond the interface, such as the metadata of its server."""
        if name.startswith("__") or name == "_policy":
            raise AttributeError(name)
        return getattr(self._policy, name)

    @property
    @override
    def traits(self) -> PolicyTraits:
        """Those of the policy, with the new label."""
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


class RelabelledBatchedPolicy(RelabelledPolicy, BatchedPolicy):
    """The same for a policy that serves worlds that begin at different times."""

    _policy: BatchedPolicy

    @override
    def put_state(self, state: State, rows: Bool[np.ndarray, " B"], part: State) -> State:
        return self._policy.put_state(state, rows, part)

    @override
    def expect(self, instructions: Sequence[str]) -> None:
        self._policy.expect(instructions)


def relabelled(policy: Policy, label: str) -> Policy:
    """The policy under a label; the policy itself if it has that label already.

    Raises:
        ValueError: The label is blank.
    """
    if not isinstance(policy.traits, PolicyTraits) or policy.traits.label == label:
        return policy
    kind = RelabelledBatchedPolicy if isinstance(policy, BatchedPolicy) else RelabelledPolicy
    return kind(policy, label)
