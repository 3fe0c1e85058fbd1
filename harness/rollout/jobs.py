"""Chains to run."""

from dataclasses import dataclass

import numpy as np

from calvinbench.envs.chains import Chain


@dataclass(frozen=True, slots=True)
class ChainJob:
    """A chain to run.

    Attributes:
        number: Its number in the list of chains.
        chain: The chain.
        seed: Random seed of the policy in this chain.
    """

    number: int
    chain: Chain
    seed: int


def make_job(number: int, chain: Chain, run_seed: int) -> ChainJob:
    """A job. Its seed depends only on the run's seed and the chain's number, not on the order in which chains run."""
    seed = int(np.random.SeedSequence([run_seed, number]).generate_state(1)[0])
    return ChainJob(number, chain, seed)
