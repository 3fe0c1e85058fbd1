"""`InstructionSet`: the sentences for every task, and which one a subtask gets."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from calvinbench.envs.names import require_name


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """Sentences for every task.

    Attributes:
        name: What records call it.
        seen: The sentences of each task, at least one. Evaluation uses the first, the canonical one.
        held_out: Sentences of each task that training never shows, to test generalisation to new wordings.
        draws_wordings: Whether evaluation uses all sentences of a task instead of the first only.
        by_chain: The sentences of single chains, by the chain's number: one for each subtask, whatever its task is.
    """

    name: str
    seen: Mapping[str, tuple[str, ...]]
    held_out: Mapping[str, tuple[str, ...]]
    draws_wordings: bool = False
    by_chain: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def canonical(self, task: str) -> str:
        """The first sentence of a task.

        Raises:
            UnknownNameError: There is no such task.
        """
        return self.seen[require_name(task, self.seen, "task")][0]

    def sentences(self) -> dict[str, tuple[str, ...]]:
        """All sentences that evaluation may use: the canonical one of each task, or all if wordings are drawn.

        The sentences of single chains have the key `"chain <number>"`.
        """
        said = {task: found if self.draws_wordings else found[:1] for task, found in self.seen.items()}
        return said | {f"chain {number}": sentences for number, sentences in self.by_chain.items()}

    def require_chains(self, num_chains: int, chain_length: int | None = None) -> None:
        """Raises an error if a chain that will be run lacks sentences. Only sets with sentences by chain can lack any.

        Args:
            num_chains: How many chains will be run.
            chain_length: Subtasks of each chain; None if unknown.

        Raises:
            ValueError: Chains lack sentences; the message names the first few.
        """
        for number in range(num_chains if self.by_chain and chain_length is not None else 0):
            if chain_length is not None and len(self.by_chain.get(number, ("",) * chain_length)) < chain_length:
                raise ValueError(
                    f"expected {chain_length} sentences for chain {number} in '{self.name}', one a subtask, got "
                    f"{len(self.by_chain[number])}. Add the missing ones below 'chains'."
                )
        if self.seen:
            return
        lacking = [number for number in range(num_chains) if number not in self.by_chain]
        if lacking:
            first = ", ".join(map(str, lacking[:5])) + (", ..." if len(lacking) > 5 else "")
            raise ValueError(
                f"expected sentences for each of the first {num_chains} chains in '{self.name}', because it has none "
                f"for tasks, found none for {len(lacking)} of them: {first}. Add them below 'chains', or a "
                "sentence for each task, or run fewer chains."
            )

    def sentence(self, task: str, chain_number: int, subtask: int) -> str:
        """The sentence that evaluation uses for a subtask of a chain.

        If the chain has sentences of its own, one of those is used; else the canonical one. If wordings are drawn, the
        index of the sentence is SHA-256 of `"<chain number> <index of the subtask>"` as an integer, modulo the number
        of the task's sentences. So the sentence is the same in every run and for every policy.

        Raises:
            UnknownNameError: There is no such task.
        """
        if chain_number in self.by_chain:
            return self.by_chain[chain_number][subtask]
        if not self.draws_wordings:
            return self.canonical(task)
        sentences = self.seen[require_name(task, self.seen, "task")]
        drawn = int.from_bytes(hashlib.sha256(f"{chain_number} {subtask}".encode()).digest(), "big")
        return sentences[drawn % len(sentences)]
