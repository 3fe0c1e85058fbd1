import re

import pytest
import yaml

from calvinbench.envs.instructions import load_instructions
from calvinbench.envs.instructions.instructions_file import InstructionsFileError
from calvinbench.envs.system.yaml_text import RepeatedKeyError, kind_in_words, read_yaml
from calvinbench.harness.suite.reading import load_suite, parse_suite
from calvinbench.harness.training.call import TrainingCallError, read_configuration


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: {c: [1, 2]}\n", {"a": 1, "b": {"c": [1, 2]}}),
        ("- {a: 1}\n- {a: 2}\n", [{"a": 1}, {"a": 2}]),  # the same key in two mappings
        ('{"a": 1.5}', {"a": 1.5}),
        ("x: &x {a: 1}\ny: {<<: *x, a: 2}\n", {"x": {"a": 1}, "y": {"a": 2}}),  # a merged key may be overridden
        ("", None),
    ],
)
def test_yaml_is_read_as_the_safe_loader_reads_it(text, value):
    assert read_yaml(text) == value == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key 'a' stands in line 1 and again in line 3. Remove one of them."),
        ("a:\n  b: 2\n  b: 2\n", "the key 'b' stands in line 2 and again in line 3"),
        ('{"a": 1, "a": 1}', "the key 'a' stands in line 1 and again in line 1"),
    ],
)
def test_a_key_that_is_given_twice_is_named_with_its_lines(text, words):
    with pytest.raises(RepeatedKeyError, match=re.escape(words)):
        read_yaml(text)


def test_python_objects_are_not_made():
    with pytest.raises(yaml.YAMLError):
        read_yaml("!!python/object/apply:os.getcwd []")


@pytest.mark.parametrize(("value", "words"), [(None, "an empty file"), ([1], "a list"), (3, "3"), ("x", "'x'")])
def test_what_is_no_mapping_is_told_in_words(value, words):
    assert kind_in_words(value) == words


def test_suites_configurations_and_sentences_refuse_a_repeated_key(tmp_path):
    file = tmp_path / "twice.yaml"
    file.write_text("seed: 1\nseed: 2\n")
    with pytest.raises(ValueError, match="the key 'seed' stands in line 1 and again in line 2"):
        load_suite(str(file))
    with pytest.raises(TrainingCallError, match="the key 'seed' stands in line 1 and again in line 2"):
        read_configuration(str(file))
    with pytest.raises(InstructionsFileError, match="the key 'seed' stands in line 1 and again in line 2"):
        load_instructions(str(file))


@pytest.mark.parametrize(("text", "words"), [("", "an empty file"), ("- random\n", "a list")])
def test_what_stands_in_a_file_without_keys_is_said_without_pythons_words(tmp_path, text, words):
    file = tmp_path / "none.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"mapping of settings in suite 's.yaml', got {words}"):
        parse_suite("s", text, "s.yaml")
    with pytest.raises(TrainingCallError, match=f"expected keys and values in '.*none.yaml', got {words}"):
        read_configuration(str(file))


def test_a_folder_is_no_suite(tmp_path):
    with pytest.raises(ValueError, match="expected a suite's name or YAML file, got the folder"):
        load_suite(str(tmp_path))
