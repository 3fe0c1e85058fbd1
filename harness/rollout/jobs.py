"""Chains that are still to be run."""

from dataclasses import dataclass

import numpy as np

from calvinbench.envs.chains import Chain


@dataclass(frozen=True, slots=True)
class ChainJob:
    """A chain to be run.

    Attributes:
        number: Its number in the list of chains.
        chain: The chain.
        seed: For the policy's random draws in this chain.
    """

    number: int
    chain: Chain
    seed: int


def make_job(number: int, chain: Chain, run_seed: int) -> ChainJob:
    """A job whose seed depends on the run's seed and the chain's number alone, not on the order of running."""
    seed = int(np.random.SeedSequence([run_seed, number]).generate_state(1)[0])
    return ChainJob(number, chain, seed)
