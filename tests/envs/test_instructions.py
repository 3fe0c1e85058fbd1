"""Sentences for the tasks."""

import pytest

from calvinbench.envs.instructions import embedded_instructions
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.tasks import TASKS


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_five_sentences_and_two_held_out(task: str):
    instructions = embedded_instructions()
    assert len(instructions.seen[task]) >= 5
    assert len(instructions.held_out[task]) >= 2
    assert not set(instructions.seen[task]) & set(instructions.held_out[task])
    assert instructions.canonical(task) == instructions.seen[task][0]


def test_no_sentence_means_two_tasks():
    instructions = embedded_instructions()
    sentences = [s for task in TASKS for s in (*instructions.seen[task], *instructions.held_out[task])]
    assert len(sentences) == len(set(sentences))
    assert all(sentence.strip() == sentence and "{" not in sentence for sentence in sentences)


def test_sentences_are_filled_in():
    instructions = embedded_instructions()
    assert instructions.canonical("push_pink_block_left") == "push the pink block to the left"
    assert instructions.canonical("turn_off_lightbulb") == "move the switch down to turn off the light bulb"


def test_an_unknown_task_is_refused_with_a_guess():
    with pytest.raises(UnknownNameError, match="Did you mean 'close_drawer'"):
        embedded_instructions().canonical("close_drawers")
