"""`load_instructions`: an instruction set by name, our own or that of a checkout of calvin."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from calvinbench.envs.instructions.instruction_set import InstructionSet
from calvinbench.envs.instructions.instructions_file import read_instructions_file
from calvinbench.envs.names import require_name
from calvinbench.envs.scenes.calvin_checkout import (
    CALVIN_VARIABLE,
    INSTALL,
    VALIDATION_SENTENCES,
    CheckoutError,
    CheckoutNotFoundError,
    find_calvin,
)
from calvinbench.envs.scenes.scene import CALVIN_SCENES
from calvinbench.envs.tasks import TASKS

AUTO, OURS, CALVIN, CALVIN_TRAINING = "auto", "calvinbench", "calvin", "calvin-training"
OURS_TRAINING, OURS_HELD_OUT = "calvinbench-training", "calvinbench-held-out"
INSTRUCTIONS = (AUTO, OURS, OURS_TRAINING, OURS_HELD_OUT, CALVIN, CALVIN_TRAINING)
"""Names of instruction sets. The path of a file is accepted too, see `instructions_file`.

- `calvinbench`: our own, the first sentence of each task.
- `calvinbench-training`: for each subtask one of our wordings that training shows.
- `calvinbench-held-out`: for each subtask one of our wordings that training never shows.
- `calvin`: CALVIN's validation sentence of each task, as its protocol requires.
- `calvin-training`: for each subtask one of CALVIN's training wordings, to measure the effect of wordings.
- `auto`: CALVIN's if a checkout of calvin is given, or if one is found and the scene is CALVIN's; else our own.
"""
_TRAINING_SENTENCES = VALIDATION_SENTENCES.with_name("new_playtable.yaml")


@cache
def embedded_instructions() -> InstructionSet:
    """Our own sentences, shipped with the package: at least five for each task, and two more held out."""
    families = yaml.safe_load(files("calvinbench.envs.data").joinpath("instructions.yaml").read_text("utf-8"))
    seen: dict[str, tuple[str, ...]] = {}
    held_out: dict[str, tuple[str, ...]] = {}
    for family in families:
        for variant in family["variants"]:
            task = family["task"].format(**variant)
            seen[task] = tuple(sentence.format(**variant) for sentence in family["seen"])
            held_out[task] = tuple(sentence.format(**variant) for sentence in family["held_out"])
    return InstructionSet(
        name=OURS,
        seen={task: seen[task] for task in TASKS},
        held_out={task: held_out[task] for task in TASKS},
    )


def is_instructions_file(name: str) -> bool:
    """Whether an instruction set's name is the path of a file."""
    return name.endswith((".yaml", ".yml", ".json"))


def load_instructions(
    name: str = AUTO, scene: str = "embedded", calvin: str | Path | None = None, calvin_env: str | Path | None = None
) -> InstructionSet:
    """An instruction set by name.

    Args:
        name: One of `INSTRUCTIONS`, or the path of a file (`.yaml`, `.yml`, `.json`).
        scene: The scene of the run. For CALVIN's scenes, `auto` looks for a checkout of calvin.
        calvin: A checkout of calvin; None finds one, see `find_calvin`.
        calvin_env: A checkout of calvin_env; `find_calvin` looks near it.

    Raises:
        UnknownNameError: There is no such set.
        ValueError: The file cannot be read, or does not have what is needed.
        CheckoutError: The set is CALVIN's, and there is no checkout of calvin, or its sentences cannot be read.
    """
    if is_instructions_file(name):
        return read_instructions_file(Path(name))
    require_name(name, INSTRUCTIONS, "instruction set")
    if name in (OURS_TRAINING, OURS_HELD_OUT):
        ours = embedded_instructions()
        said = ours.seen if name == OURS_TRAINING else ours.held_out
        return InstructionSet(name, said, held_out=ours.held_out, draws_wordings=True)
    if name == OURS or (name == AUTO and not calvin and scene not in CALVIN_SCENES):
        return embedded_instructions()
    root = find_calvin(calvin, calvin_env)
    if root is None and name == AUTO:
        return embedded_instructions()
    if root is None:
        raise CheckoutNotFoundError(
            f"expected a checkout of calvin for the instructions '{name}', found none. Say where it is by --calvin DIR "
            f"or by the environment variable {CALVIN_VARIABLE}, or use --instructions {OURS}. {INSTALL}."
        )
    validation = _read_sentences(root / VALIDATION_SENTENCES)
    if name == CALVIN_TRAINING:
        return InstructionSet(name, _read_sentences(root / _TRAINING_SENTENCES), validation, draws_wordings=True)
    return InstructionSet(CALVIN, validation, held_out=dict.fromkeys(TASKS, ()))


def _read_sentences(file: Path) -> dict[str, tuple[str, ...]]:
    """The sentences of each task in one of calvin's annotation files."""
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        sentences = {task: content[task] for task in TASKS}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise CheckoutError(
            f"expected sentences for all {len(TASKS)} tasks in '{file}', got {type(error).__name__}: {error}. "
            f"Run `git checkout -- calvin_models/conf` in the checkout, or: {INSTALL}."
        ) from error
    for task, wordings in sentences.items():
        if not isinstance(wordings, list) or not wordings or not all(isinstance(words, str) for words in wordings):
            raise CheckoutError(f"expected a list of sentences for '{task}' in '{file}', got {wordings!r}.")
    return {task: tuple(wordings) for task, wordings in sentences.items()}
