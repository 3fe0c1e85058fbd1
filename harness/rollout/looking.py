"""Steps a world, and has its images rendered only if the policy looks at them.

This module alone decides it, for one world and for a batch of worlds, in this process or in another one. The images
that follow an action are rendered if the policy looks at them (`policies.looking`), or if its memory is cleared
before it acts again, because then it begins anew. After the last action of a chain nobody looks. Videos render what
they show themselves (`videos.VideoChainEnv`).
"""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from calvinbench.envs.chain_env import ChainStatus
from calvinbench.envs.world import skip_images, with_images, without_images
from calvinbench.harness.rollout.step_rule import clears_memory
from calvinbench.policies.policy import Memory


@dataclass(frozen=True, slots=True)
class WorldStep:
    """What a world answered to an action.

    Attributes:
        observation: Without images if nobody looks at them.
        info: Of the environment.
        status: Where the chain stands.
        is_over: Whether the chain is over.
        is_rendered: Whether the observation has its images.
    """

    observation: dict[str, np.ndarray]
    info: dict[str, Any]
    status: ChainStatus
    is_over: bool
    is_rendered: bool


def step_world(env: gymnasium.Env[Any, Any], action: np.ndarray, memory: Memory, *, looks: bool) -> WorldStep:
    """Applies an action.

    Args:
        env: A `ChainEnv`, or one that is wrapped.
        action: The action.
        memory: Of the policy.
        looks: Whether the policy looks at the next images if its memory is not cleared.
    """
    skips = not looks and skip_images(env, True)
    try:
        observation, _, terminated, truncated, info = env.step(action)
    finally:
        if skips:
            skip_images(env, False)
    status, is_over = ChainStatus.of(info), bool(terminated or truncated)
    if not looks and clears_memory(status, memory, is_over=is_over):
        looks, observation = True, with_images(env, observation)
    elif not looks:
        observation = without_images(observation)  # a world that cannot leave them out has rendered them
    return WorldStep(observation, info, status, is_over, looks)
