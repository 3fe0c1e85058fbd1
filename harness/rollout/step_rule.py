"""What one step of a chain means. One world (`rollout`) and a batch of worlds (`execution.world_batch`) both use this.

A step has four parts: the policy is asked (`decide`), each world's action is checked (`executable_action`), the world
takes it (`looking.step_world`), and its answer is noted (`finish_step`). The last part decides when a subtask ends and
when the memory is cleared.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from calvinbench.envs.chain_env import SOLVED, ChainStatus
from calvinbench.envs.observation import ActionConvention, Observation, is_image, require_finite_action
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.harness.rollout.diary import Diary
from calvinbench.policies.adapters.absolute_pose import with_euler_angles
from calvinbench.policies.looking import looks_next, note_missing_images
from calvinbench.policies.policy import Memory, Policy, PolicyTraits, State


class Decided(NamedTuple):
    """What a policy decided for B worlds.

    Attributes:
        actions: One a world.
        state: The policy's next memory.
        looks: Whether the policy looks at a world's next images, if the world's memory is not cleared before.
    """

    actions: Float64[np.ndarray, "B action_dim"]
    state: State
    looks: Bool[np.ndarray, " B"]


def decide(
    policy: Policy,
    observations: Observation,
    instructions: Sequence[str],
    state: State,
    privileged: Sequence[PrivilegedState] | None,
) -> Decided:
    """Asks the policy for one action for each world.

    Args:
        policy: The policy.
        observations: Of all worlds, batched.
        instructions: One for each world.
        state: The policy's memory.
        privileged: One for each world if the policy is privileged, else None.

    Raises:
        ValueError: The actions have the wrong shape.
        Exception: Whatever the policy raises. A note says if images were left out.
    """
    traits = policy.traits
    reads_images = any(map(is_image, traits.observation_keys))
    try:
        decision = policy.act(observations, instructions, state, privileged)
    except Exception as error:
        if reads_images:
            note_missing_images(error, observations)
        raise
    actions = np.asarray(decision.actions)
    _require_shape(actions, len(instructions), traits)
    looks = looks_next(policy, decision.state, len(instructions), reads_images=reads_images)
    return Decided(actions, decision.state, looks)


def _require_shape(actions: np.ndarray, num_worlds: int, traits: PolicyTraits) -> None:
    convention = traits.action_convention
    expected = [(num_worlds, dim) for dim in convention.dims]
    if actions.shape not in expected:
        worlds = "one world" if num_worlds == 1 else f"{num_worlds} worlds"
        raise ValueError(
            f"expected act to return actions of shape {expected[0]} for {worlds} and '{convention}', "
            f"got {actions.shape}. Return one action for each world: no chunk axis, no missing batch axis."
        )


def executable_action(action: np.ndarray, convention: ActionConvention) -> Float64[np.ndarray, " action_dim"]:
    """One world's action as the world takes it: finite float64 numbers, with euler angles instead of a quaternion.

    Raises:
        ValueError: A number is NaN or infinite, or a quaternion has no length.
        TypeError: The action is not made of numbers.
    """
    return with_euler_angles(require_finite_action(action, convention), convention)


def finish_step(diary: Diary, status: ChainStatus, memory: Memory, *, is_over: bool) -> bool:
    """Notes what a step did to its chain. Call it after `Diary.note_step`.

    A subtask ends when the world reports its outcome. If it was solved and the chain goes on, the next subtask begins.

    Args:
        diary: Of the chain.
        status: Where the chain stands after the step.
        memory: Of the policy.
        is_over: Whether the step ended the chain.

    Returns:
        Whether the policy's memory must be cleared before the next action.
    """
    if status.outcome is not None:
        diary.end_subtask(status.outcome)
    if not is_over and status.outcome == SOLVED:
        diary.begin_subtask(status.instruction)
    return clears_memory(status, memory, is_over=is_over)


def clears_memory(status: ChainStatus, memory: Memory, *, is_over: bool) -> bool:
    """Whether a step begins a subtask for which the policy's memory is cleared.

    Args:
        status: Where the chain stands after the step.
        memory: Of the policy.
        is_over: Whether the step ended the chain.
    """
    return not is_over and status.outcome == SOLVED and memory.reset == "subtask"
