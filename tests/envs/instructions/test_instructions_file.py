"""Sentences of a user's own."""

import json

import pytest
import yaml

from calvinbench.envs.instructions import embedded_instructions, load_instructions
from calvinbench.envs.instructions.instructions_file import InstructionsFileError, read_instructions_file
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.tasks import TASKS

FIVE = ["one", "two", "three", "four", "five"]


@pytest.fixture
def write(tmp_path):
    def made(content, name="mine.yaml"):
        path = tmp_path / name
        path.write_text(json.dumps(content) if name.endswith("json") else yaml.safe_dump(content))
        return path

    return made


@pytest.mark.parametrize("name", ["mine.yaml", "mine.yml", "mine.json"])
def test_each_task_has_its_sentence(write, name):
    found = load_instructions(str(write({task: f"please {task}" for task in TASKS}, name)))
    assert found.name == name
    assert found.sentence("open_drawer", 3, 2) == "please open_drawer"
    assert not found.draws_wordings
    assert found.sentences()["open_drawer"] == ("please open_drawer",)


def test_of_several_wordings_each_subtask_gets_one(write):
    found = read_instructions_file(write(dict.fromkeys(TASKS, "do") | {"open_drawer": FIVE}))
    said = {found.sentence("open_drawer", chain, subtask) for chain in range(20) for subtask in range(5)}
    assert said == set(FIVE)
    assert found.sentence("open_drawer", 7, 1) == found.sentence("open_drawer", 7, 1)
    assert found.sentence("close_drawer", 7, 1) == "do"


def test_a_chains_own_sentences_come_first(write):
    found = read_instructions_file(write(dict.fromkeys(TASKS, "do") | {"chains": {"4": FIVE}}))
    assert [found.sentence("open_drawer", 4, subtask) for subtask in range(5)] == FIVE
    assert found.sentence("open_drawer", 5, 0) == "do"
    assert set(FIVE) <= {sentence for said in found.sentences().values() for sentence in said}


def test_chains_alone_need_no_tasks_and_other_chains_are_refused(write):
    found = read_instructions_file(write({"chains": {0: FIVE}}))
    assert found.sentence("open_drawer", 0, 4) == "five"
    with pytest.raises(UnknownNameError):
        found.sentence("open_drawer", 1, 0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"open_drawer": "open"}, r"found none for rotate_red_block_right, "),
        (dict.fromkeys(TASKS, "do") | {"open_drawer": []}, "a list of sentences for 'open_drawer'"),
        (dict.fromkeys(TASKS, "do") | {"open_drawer": " "}, "a list of sentences for 'open_drawer'"),
        (dict.fromkeys(TASKS, 3), "got '3'"),
        ({"chains": {"first": FIVE}}, "the number of a chain"),
        ({"chains": {0: FIVE[:4]}}, "5 sentences for chain 0 .*, one a subtask, got 4"),
        ({"chains": FIVE}, "expected chains' numbers"),
        (["open"], "expected tasks and their sentences"),
        ([FIVE, FIVE[:4]], "5 sentences for chain 1 .*, one a subtask, got 4"),
        ([FIVE, "open"], "expected tasks and their sentences"),
        ([[{"led": 0}, FIVE]], "a list of sentences for chain 0"),  # RoboVLMs' list of chains, not of sentences
        ([], "expected tasks and their sentences"),
    ],
)
def test_what_is_no_such_file_is_refused_in_words(write, content, words):
    with pytest.raises(InstructionsFileError, match=words):
        read_instructions_file(write(content))


def test_a_list_of_lists_is_read_as_one_list_a_chain(write):
    rows = [[f"chain {chain}, subtask {subtask}" for subtask in range(5)] for chain in range(3)]
    found = load_instructions(str(write(rows, "lang_annotation_cache.json")))
    assert found.sentence("open_drawer", 2, 4) == "chain 2, subtask 4"
    assert found.sentence("close_drawer", 0, 1) == "chain 0, subtask 1"
    found.require_chains(3)
    with pytest.raises(ValueError, match="found none for 1 of them: 3"):
        found.require_chains(4)


@pytest.mark.parametrize(
    "wrong", [["open"], {"chains": FIVE}, {"chains": {"first": FIVE}}, {"chains": {0: FIVE[:4]}}, {"open_drawer": [1]}]
)
def test_remedy_the_form_that_an_error_shows_is_read(write, tmp_path, wrong):
    content = dict.fromkeys(TASKS, "do") | wrong if isinstance(wrong, dict) and "chains" not in wrong else wrong
    with pytest.raises(InstructionsFileError) as caught:
        read_instructions_file(write(content))
    shown = str(caught.value).split("chains by number:\n")[1]
    (tmp_path / "shown.yaml").write_text(shown)
    found = read_instructions_file(tmp_path / "shown.yaml")
    assert found.sentence("open_drawer", 0, 0) == "open the drawer"
    found.require_chains(1)


def test_a_misspelt_task_is_guessed_and_a_missing_file_is_named(write, tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'open_drawer'"):
        read_instructions_file(write(dict.fromkeys(TASKS, "do") | {"open_drawr": "x"}))
    with pytest.raises(InstructionsFileError, match=r"nowhere\.yaml', got FileNotFoundError"):
        load_instructions(str(tmp_path / "nowhere.yaml"))
    (tmp_path / "torn.json").write_text('{"open_drawer": ')
    with pytest.raises(InstructionsFileError, match=r"torn\.json"):
        load_instructions(str(tmp_path / "torn.json"))


@pytest.mark.parametrize(
    ("name", "attribute"), [("calvinbench-training", "seen"), ("calvinbench-held-out", "held_out")]
)
def test_our_own_wordings_are_drawn_from_those_seen_in_training_or_from_the_others(name, attribute):
    found = load_instructions(name)
    expected = getattr(embedded_instructions(), attribute)
    assert found.name == name
    for task in TASKS:
        said = {found.sentence(task, chain, subtask) for chain in range(30) for subtask in range(5)}
        assert said == set(expected[task])


def test_longer_chains_need_a_sentence_for_each_subtask_and_shorter_ones_use_the_first(write):
    found = read_instructions_file(write({"chains": {0: FIVE}}))
    found.require_chains(1, chain_length=3)
    with pytest.raises(
        ValueError, match=r"expected 7 sentences for chain 0 in .*, one a subtask, got 5. Add the missing"
    ):
        found.require_chains(1, chain_length=7)


def test_remedy_the_missing_sentences_are_added(write):
    found = read_instructions_file(write({"chains": {0: [*FIVE, "six", "seven"]}}))
    found.require_chains(1, chain_length=7)
    assert found.sentence("open_drawer", 0, 6) == "seven"
