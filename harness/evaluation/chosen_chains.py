"""Which chains a run has: the first of a list, or single tasks."""

from collections.abc import Sequence

from calvinbench.envs import chains as chain_lists
from calvinbench.envs.chains import Chain
from calvinbench.envs.task_chains import single_task_chains
from calvinbench.harness.suite.settings import RunSettings


def all_chains_of(settings: RunSettings, chains: Sequence[Chain] | None) -> tuple[Chain, ...]:
    """The list of which the first chains are run."""
    if settings.tasks:
        return single_task_chains(settings.tasks, settings.chains)
    return tuple(chain_lists.published() if chains is None else chains)


def num_chains_of(settings: RunSettings, all_chains: Sequence[Chain]) -> int:
    """How many chains to run. With single tasks it is all of them, because `chains` counts the states of each task."""
    if settings.tasks:
        return len(all_chains)
    if settings.chains > len(all_chains):
        raise ValueError(
            f"expected chains of at most {len(all_chains)}, the length of the list, got {settings.chains}. Set chains "
            f"to {len(all_chains)} or less."
        )
    return settings.chains


def chain_length_of(chains: Sequence[Chain]) -> int | None:
    """The number of subtasks in each chain; None without chains.

    Raises:
        ValueError: The chains differ in length, so that rates and average lengths over them would have no meaning.
    """
    lengths = {len(chain.subtasks): number for number, chain in reversed(tuple(enumerate(chains)))}
    if len(lengths) > 1:
        listed = ", ".join(f"{length} (first chain {number})" for length, number in sorted(lengths.items()))
        raise ValueError(
            f"expected chains of one length, got chains of {listed} subtasks. Run the chains of each length as a "
            "separate run, in a separate folder."
        )
    return next(iter(lengths), None)


def digest_of_first(all_chains: Sequence[Chain], count: int) -> str:
    """The digest of the first chains of a list."""
    return chain_lists.digest(all_chains[:count])
