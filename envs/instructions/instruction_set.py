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
        seen: For each task its sentences, at least one; the first is the canonical one, used in evaluation.
        held_out: For each task sentences that training never shows, to test generalisation of language.
        draws_wordings: Whether evaluation goes through all sentences of a task instead of keeping to the first.
        by_chain: For chains of these numbers, the sentence of each subtask, whatever its task is.
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
        """All that evaluation may say: for each task the canonical sentence, or all where wordings are drawn.

        Those of single chains go by `"chain <number>"`.
        """
        said = {task: found if self.draws_wordings else found[:1] for task, found in self.seen.items()}
        return said | {f"chain {number}": sentences for number, sentences in self.by_chain.items()}

    def require_chains(self, num_chains: int, chain_length: int | None = None) -> None:
        """Refuses a set that has sentences for single chains alone, and not for all of the first `num_chains`.

        Args:
            num_chains: How many chains will be run.
            chain_length: Subtasks in each of them, for each of which a chain's own sentences need one; None where it is
                not known.

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
                f"expected sentences for each of the first {num_chains} chains in '{self.name}', which has none for "
                f"tasks, found none for {len(lacking)} of them: {first}. Add them below 'chains', or a sentence for "
                "each task, or run fewer chains."
            )

    def sentence(self, task: str, chain_number: int, subtask: int) -> str:
        """The sentence that evaluation uses for a subtask of a chain.

        It is the chain's own, if it has its own; else the canonical one, or, where wordings are drawn, the one at the
        place that the chain's number and the subtask's index in the chain give: SHA-256 of `"<chain number> <index>"`
        as an integer, modulo the number of the task's sentences. So it is the same in every run and for every
        policy.

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
