"""Random actions from a random seed: a lower bound in tables."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
from jaxtyping import Bool
from typing_extensions import override

from calvinbench.envs.observation import ActionConvention, Observation
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.baselines.rows import RowsPolicy
from calvinbench.policies.batch import require_batch, require_rows
from calvinbench.policies.policy import Decision, PolicyTraits
from calvinbench.policies.spec import refuse_argument

RandomState = tuple[np.random.Generator, ...]
"""One random stream a world. `act` draws from copies, so that a state can be used again."""


class RandomPolicy(RowsPolicy):
    """Uniform relative actions in [-1, 1], the gripper open or closed with equal chance."""

    @property
    @override
    def traits(self) -> PolicyTraits:
        """It reads no observation and has no memory."""
        return PolicyTraits(label="random", action_convention=ActionConvention.REL_ACTIONS)

    @override
    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> RandomState:
        """One random stream a world, from its seed. Without seeds, world number i gets seed i.

        Raises:
            ValueError: The number of seeds is not the number of worlds.
        """
        seeds = range(batch_size) if seeds is None else seeds
        if len(seeds) != batch_size:
            raise ValueError(f"expected one seed for each of {batch_size} worlds, got {len(seeds)} seeds.")
        return tuple(np.random.default_rng(seed) for seed in seeds)

    @override
    def reset_state(self, state: RandomState, rows: Bool[np.ndarray, " B"]) -> RandomState:
        """There is nothing to forget. The random streams continue."""
        require_rows(rows, len(state))
        return state

    @override
    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: RandomState,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        """Draws seven numbers for each world from its own random stream.

        Raises:
            ValueError: Instructions and state are for different numbers of worlds.
        """
        require_batch("a state", len(state), len(instructions))
        streams = tuple(deepcopy(stream) for stream in state)
        actions = np.stack([stream.uniform(-1.0, 1.0, size=7) for stream in streams])
        actions[:, 6] = np.where(actions[:, 6] < 0, -1.0, 1.0)
        return Decision(actions, streams)


def make_random_policy(argument: str | None) -> RandomPolicy:
    """Makes `random`. Its random seeds are those of the worlds."""
    refuse_argument("random", argument)
    return RandomPolicy()
