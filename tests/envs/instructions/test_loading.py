"""Sentences for the tasks."""

import hashlib
from pathlib import Path

import pytest

from calvinbench.envs.instructions import embedded_instructions, load_instructions
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.scenes.calvin_checkout import CheckoutError, CheckoutNotFoundError
from calvinbench.envs.tasks import TASKS
from support.checkouts import hollow_calvin_env, small_calvin


@pytest.fixture
def no_checkout(monkeypatch: pytest.MonkeyPatch):
    """No variable names a checkout, and none is installed."""
    for variable in ("CALVIN_ENV_ROOT", "CALVIN_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("calvinbench.envs.scenes.calvin_checkout.find_spec", lambda name: None)


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


@pytest.mark.usefixtures("no_checkout")
def test_without_a_checkout_auto_is_ours_and_calvin_s_are_refused():
    assert load_instructions() is embedded_instructions()
    assert load_instructions("auto", "D") is embedded_instructions()
    for name in ("calvin", "calvin-training"):
        with pytest.raises(CheckoutNotFoundError, match=rf"'{name}', found none.*--calvin DIR.*install-calvin"):
            load_instructions(name, "D")


@pytest.mark.usefixtures("no_checkout")
def test_auto_takes_calvin_s_on_its_own_scenes_where_they_are_found_or_anywhere_where_they_are_given(tmp_path: Path):
    calvin = small_calvin(tmp_path / "calvin")
    calvin_env = hollow_calvin_env(calvin / "calvin_env")
    assert load_instructions("auto", "D", calvin_env=calvin_env).name == "calvin"
    assert load_instructions("auto", "embedded", calvin_env=calvin_env).name == "calvinbench"
    assert load_instructions("auto", "embedded", calvin=calvin).name == "calvin"
    assert load_instructions("calvinbench", "D", calvin=calvin).name == "calvinbench"


def test_calvin_s_validation_sentence_is_the_same_for_every_chain(tmp_path: Path):
    instructions = load_instructions("calvin", calvin=small_calvin(tmp_path))
    assert {instructions.sentence("open_drawer", chain, 2) for chain in range(20)} == {"do open_drawer"}


def test_training_wordings_are_drawn_by_the_rule_that_the_documentation_states(tmp_path: Path):
    instructions = load_instructions("calvin-training", calvin=small_calvin(tmp_path))
    assert instructions.held_out["open_drawer"] == ("do open_drawer",)
    drawn = [instructions.sentence("open_drawer", chain, subtask) for chain in range(40) for subtask in range(5)]
    assert set(drawn) == {f"train open_drawer {index}" for index in range(3)}
    index = int(hashlib.sha256(b"7 1").hexdigest(), 16) % 3
    assert drawn[7 * 5 + 1] == f"train open_drawer {index}"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("open_drawer: [do open_drawer]\n", "", "KeyError: 'open_drawer'"),
        ("[do open_drawer]", "do it", "list of sentences for 'open_drawer'"),
        ("[do open_drawer]", "[]", "list of sentences for 'open_drawer'"),
        ("[do open_drawer]", "[1]", "list of sentences for 'open_drawer'"),
        ("[do open_drawer]", "[", "ParserError|ScannerError"),
    ],
)
def test_damaged_sentences_are_named(tmp_path: Path, old: str, new: str, words: str):
    file = small_calvin(tmp_path) / "calvin_models/conf/annotations/new_playtable_validation.yaml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(CheckoutError, match=words) as told:
        load_instructions("calvin", calvin=tmp_path)
    assert "new_playtable_validation.yaml" in str(told.value)


def test_an_unknown_set_is_refused_with_a_guess():
    with pytest.raises(UnknownNameError, match="Did you mean 'calvin-training'"):
        load_instructions("calvin-trainin")


@pytest.mark.recorded
def test_calvin_s_sentences_are_read_from_its_checkout(recordings: Path):
    calvin = recordings / "calvin"
    validation, training = (load_instructions(name, calvin=calvin) for name in ("calvin", "calvin-training"))
    assert validation.canonical("open_drawer") == "pull the handle to open the drawer"
    assert all(len(training.seen[task]) >= 7 for task in TASKS)
    assert not [task for task in TASKS if validation.canonical(task) in training.seen[task]]
