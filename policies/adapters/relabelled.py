"""A policy under a label that the user chose for tables and figures."""

from dataclasses import replace
from typing import Any

from calvinbench.policies.policy import BatchedPolicy, Policy, PolicyTraits
from calvinbench.policies.wrapper import BatchedPolicyWrapper, PolicyWrapper


class RelabelledPolicy(PolicyWrapper):
    """A policy with another label in its traits. Everything else is unchanged."""

    def __init__(self, policy: Policy, label: str) -> None:
        """Wraps a policy.

        Args:
            policy: The policy.
            label: The policy's name in tables.

        Raises:
            ValueError: The label is blank.
        """
        super().__init__(policy, replace(policy.traits, label=label))

    def __getattr__(self, name: str) -> Any:
        """Attributes of the policy beyond the interface, such as the metadata of its server."""
        if name.startswith("__") or name == "_policy":
            raise AttributeError(name)
        return getattr(self._policy, name)


class RelabelledBatchedPolicy(RelabelledPolicy, BatchedPolicyWrapper):
    """The same for a policy that serves worlds that begin at different times."""

    _policy: BatchedPolicy


def relabelled(policy: Policy, label: str) -> Policy:
    """The policy under a label; the policy itself if it has that label already.

    Raises:
        ValueError: The label is blank.
    """
    if not isinstance(policy.traits, PolicyTraits) or policy.traits.label == label:
        return policy
    kind = RelabelledBatchedPolicy if isinstance(policy, BatchedPolicy) else RelabelledPolicy
    return kind(policy, label)
