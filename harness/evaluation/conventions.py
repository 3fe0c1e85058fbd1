"""Whether policy, world and sentences fit together, before the first chain."""

from calvinbench.envs.world import traits_of
from calvinbench.harness.execution.batched_execution import require_batched
from calvinbench.harness.rollout.workers import Worker, World
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.policies.policy import PolicyTraits


class ConventionMismatchError(ValueError):
    """A policy and a world do not fit together."""


def require_same_conventions(traits: PolicyTraits, world: World) -> None:
    """Raises an error if policy and world do not fit together.

    Raises:
        ConventionMismatchError: Their action conventions differ, or the world lacks what the policy reads.
        WorldTraitsError: The world has no traits to compare with.
    """
    of_world = traits_of(world)
    accepted = of_world.action_convention
    if traits.action_convention != accepted:
        raise ConventionMismatchError(
            f"The policy '{traits.label}' gives actions as '{traits.action_convention}', but the world accepts "
            f"'{accepted}'. Choose a world and a policy with the same action convention."
        )
    shown = of_world.observation_keys
    unseen = [key for key in traits.observation_keys if key not in shown]
    if unseen:
        raise ConventionMismatchError(
            f"The policy '{traits.label}' reads {', '.join(unseen)}, but the world has only {', '.join(sorted(shown))}."
        )


def require_runnable_worker(worker: Worker, settings: RunSettings, num_chains: int, chain_length: int | None) -> None:
    """Raises an error if a worker cannot run these chains. Call it before the first chain.

    Args:
        worker: With policy, world and instructions.
        settings: Of the run.
        num_chains: How many chains are run.
        chain_length: Subtasks of a chain; None without chains.

    Raises:
        ConventionMismatchError: Policy and world do not fit together.
        ValueError: Sentences are missing for some chains, or the policy cannot serve a batch of this size.
    """
    worker.instructions.require_chains(num_chains, chain_length)
    require_same_conventions(worker.policy.traits, worker.world)
    if settings.batch_size > 1:
        require_batched(worker.policy, settings.batch_size)
