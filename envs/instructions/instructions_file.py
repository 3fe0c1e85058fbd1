"""A user's own sentences, read from a YAML or JSON file; for studies of wording.

    open_drawer: pull the handle          # one sentence for a task, ...
    close_drawer:                         # ... or several: each subtask gets one of them, as with `calvin-training`
      - push it shut
      - close it
    chains:                               # sentences of single chains, one a subtask; used instead of those of tasks
      0: [turn the blue block to the right, shove the door left, ...]

Every task needs a sentence, unless the file has `chains` only.

A list of lists is accepted too: five sentences for each chain, from the first chain on, one for each subtask. RoboVLMs
and RoboFlamingo keep their sentences like this (`lang_annotation_cache.json`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from calvinbench.envs.instructions.instruction_set import InstructionSet
from calvinbench.envs.names import require_name
from calvinbench.envs.system.yaml_text import read_yaml
from calvinbench.envs.tasks import TASKS

_CHAINS = "chains"
_LEAST_SENTENCES = 5
"""For one chain, as many as CALVIN's chains have subtasks. Longer chains need more. Shorter ones use the first."""
EXAMPLE = """chains:
  0: [open the drawer, push the switch up, lift the red block, put it into the drawer, close the drawer]"""
"""A file that works for the first chain."""
_FORMS = (
    "Write a mapping of each task to its sentence (or a list of sentences), a list with one list of five sentences for "
    f"each chain, or chains by number:\n{EXAMPLE}\n"
)


class InstructionsFileError(ValueError):
    """A file of sentences that cannot be used."""


def read_instructions_file(path: Path) -> InstructionSet:
    """Reads a file of sentences. The set has the file's name.

    Raises:
        UnknownNameError: A key is not a task.
        InstructionsFileError: The file cannot be read, lacks a task, or has something else than sentences.
    """
    try:
        content: Any = read_yaml(path.read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InstructionsFileError(
            f"expected a file of sentences at '{path}', got {type(error).__name__}: {error}."
        ) from error
    if isinstance(content, list) and content and all(isinstance(entry, list) for entry in content):
        content = {_CHAINS: dict(enumerate(content))}
    if not isinstance(content, Mapping) or not content:
        raise InstructionsFileError(
            f"expected tasks and their sentences in '{path}', got {str(content)[:80]!r}. {_FORMS}"
        )
    by_chain = _read_chains(content.get(_CHAINS, {}), path)
    tasks = {str(key): value for key, value in content.items() if key != _CHAINS}
    for task in tasks:
        require_name(task, (*TASKS, _CHAINS), f"key of '{path}'")
    missing = [task for task in TASKS if task not in tasks]
    if missing and (tasks or not by_chain):
        raise InstructionsFileError(
            f"expected a sentence for each of the {len(TASKS)} tasks in '{path}', found none for {', '.join(missing)}."
        )
    seen = {task: _sentences(tasks[task], f"'{task}' in '{path}'") for task in TASKS if task in tasks}
    return InstructionSet(
        name=path.name,
        seen=seen,
        held_out=dict.fromkeys(TASKS, ()),
        draws_wordings=any(len(sentences) > 1 for sentences in seen.values()),
        by_chain=by_chain,
    )


def _read_chains(content: Any, path: Path) -> dict[int, tuple[str, ...]]:
    if not isinstance(content, Mapping):
        raise InstructionsFileError(
            f"expected chains' numbers and sentences in '{path}', got {str(content)[:80]!r}. {_FORMS}"
        )
    by_chain = {}
    for key, value in content.items():
        if not str(key).isascii() or not str(key).isdigit():
            raise InstructionsFileError(f"expected the number of a chain in '{path}', got {key!r}. {_FORMS}")
        sentences = _sentences(value, f"chain {key} in '{path}'")
        if len(sentences) < _LEAST_SENTENCES:
            raise InstructionsFileError(
                f"expected {_LEAST_SENTENCES} sentences for chain {key} in '{path}', one a subtask, got "
                f"{len(sentences)}. A shorter chain uses the first of them. {_FORMS}"
            )
        by_chain[int(key)] = sentences
    return by_chain


def _sentences(value: Any, where: str) -> tuple[str, ...]:
    """A sentence, or several."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found or not all(isinstance(one, str) and one.strip() for one in found):
        raise InstructionsFileError(
            f"expected a sentence or a list of sentences for {where}, got {str(value)[:80]!r}. {_FORMS}"
        )
    return tuple(found)
