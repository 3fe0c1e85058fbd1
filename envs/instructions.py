"""Sentences for the tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from calvinbench.envs.names import require_name
from calvinbench.envs.tasks import TASKS


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """Sentences for every task.

    Attributes:
        name: What records call it.
        seen: For each task its sentences for training; the first is the canonical one, used in evaluation.
        held_out: For each task sentences that training never shows, to test generalisation of language.
    """

    name: str
    seen: Mapping[str, tuple[str, ...]]
    held_out: Mapping[str, tuple[str, ...]]

    def canonical(self, task: str) -> str:
        """The sentence that evaluation uses.

        Raises:
            UnknownNameError: There is no such task.
        """
        return self.seen[require_name(task, self.seen, "task")][0]


@cache
def embedded_instructions() -> InstructionSet:
    """Our own sentences, shipped with the package: at least five a task, two more held out."""
    families = yaml.safe_load(files("calvinbench.envs.data").joinpath("instructions.yaml").read_text("utf-8"))
    seen: dict[str, tuple[str, ...]] = {}
    held_out: dict[str, tuple[str, ...]] = {}
    for family in families:
        for variant in family["variants"]:
            task = family["task"].format(**variant)
            seen[task] = tuple(sentence.format(**variant) for sentence in family["seen"])
            held_out[task] = tuple(sentence.format(**variant) for sentence in family["held_out"])
    return InstructionSet(
        name="calvinbench",
        seen={task: seen[task] for task in TASKS},
        held_out={task: held_out[task] for task in TASKS},
    )
