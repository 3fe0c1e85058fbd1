"""Another policy under a label of the user's: what tables and figures call it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from calvinbench.envs.observation import Observation
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.policy import BatchedPolicy, Decision, Policy, PolicyTraits, State


class RelabelledPolicy:
    """A policy whose traits have another label; all else is the policy's own."""

    def __init__(self, policy: Policy, label: str) -> None:
        """Wraps a policy.

        Args:
            policy: The policy.
            label: What tables call it.

        Raises:
            ValueError: The label is blank.
        """
        self._policy = policy
        self._traits = replace(policy.traits, label=label)

    def __getattr__(self, name: str) -> Any:
        """What the policy has beyond the interface, such as a server's metadata."""
        if name.startswith("__") or name == "_policy":
            raise AttributeError(name)
        return getattr(self._policy, name)

    @property
    def traits(self) -> PolicyTraits:
        """Those of the policy, under the label."""
        return self._traits

    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> State:
        """See `Policy.initial_state`."""
        return self._policy.initial_state(batch_size, seeds)

    def reset_state(self, state: State, rows: Bool[np.ndarray, " B"]) -> State:
        """See `Policy.reset_state`."""
        return self._policy.reset_state(state, rows)

    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: State,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        """See `Policy.act`."""
        return self._policy.act(observations, instructions, state, privileged)


class RelabelledBatchedPolicy(RelabelledPolicy):
    """The same for a policy of which one object serves worlds that begin at different times."""

    _policy: BatchedPolicy

    def put_state(self, state: State, rows: Bool[np.ndarray, " B"], part: State) -> State:
        """See `BatchedPolicy.put_state`."""
        return self._policy.put_state(state, rows, part)

    def expect(self, instructions: Sequence[str]) -> None:
        """See `BatchedPolicy.expect`."""
        self._policy.expect(instructions)


def relabelled(policy: Policy, label: str) -> Policy:
    """The policy under a label; itself where it has that label.

    Raises:
        ValueError: The label is blank.
    """
    if not isinstance(policy.traits, PolicyTraits) or policy.traits.label == label:
        return policy
    kind = RelabelledBatchedPolicy if isinstance(policy, BatchedPolicy) else RelabelledPolicy
    return kind(policy, label)
