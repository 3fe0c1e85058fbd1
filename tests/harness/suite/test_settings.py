"""A setting is declared once: flags, YAML keys, checks and help follow from the declaration."""

from dataclasses import fields
from typing import Annotated, get_type_hints

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.harness.command_line.flags import flags_of
from calvinbench.harness.command_line.setting_flags import given_settings
from calvinbench.harness.execution.ray_cluster import RayOptions
from calvinbench.harness.records.description import RunDescription
from calvinbench.harness.suite.reading import parse_suite
from calvinbench.harness.suite.setting import Setting, settings_of
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.harness.suite.suite import Suite
from calvinbench.harness.verbs.run import Run

SETTINGS = (*settings_of(RunSettings), *settings_of(Suite))
SAMPLES = {int: 1, float: 2.5, bool: True, str: "none"}


def sample(named):
    """A value that is not the default."""
    if named.setting.choices:
        return named.setting.choices[-1]
    return named.value if named.is_many or named.kind not in SAMPLES else SAMPLES[named.kind]


@pytest.mark.parametrize("named", SETTINGS, ids=lambda named: named.name)
def test_each_setting_is_a_flag_of_run_with_its_help_and_default(named):
    (flag,) = [flag for flag in flags_of(Run) if flag.field == named.name]
    assert flag.help == named.setting.help
    assert flag.default == (f"(default: {named.default_in_words})" if named.default_in_words else "")
    if isinstance(named.value, int | float | str) and not isinstance(named.value, bool):
        assert flag.kind(named.default_in_words) == named.value
    assert flag.choices == named.setting.choices


@pytest.mark.parametrize("named", SETTINGS, ids=lambda named: named.name)
def test_each_flag_of_a_setting_reaches_the_suite(named):
    call = Run(policy=("random",), **{named.name: sample(named)})
    suite = call._suite()
    owner = suite if named.name in Suite.__dataclass_fields__ else suite.settings
    assert getattr(owner, named.name) == sample(named)
    assert set(given_settings(call, RunSettings, Suite)) <= {named.name}


@pytest.mark.parametrize("named", SETTINGS, ids=lambda named: named.name)
def test_each_setting_is_a_key_of_a_suites_file(named):
    value = sample(named)
    text = "all" if named.is_many else str(value).lower() if isinstance(value, bool) else str(value)
    suite = parse_suite("s", f"policy: random\n{named.name}: {text}", "s")
    owner = suite if named.name in Suite.__dataclass_fields__ else suite.settings
    assert named.is_many or getattr(owner, named.name) == value


def test_every_field_of_a_run_is_a_setting_or_declared_of_a_single_policy():
    declared = {named.name for named in settings_of(RunSettings)}
    assert {field.name for field in fields(RunSettings)} - declared == {
        *("policy", "training_seed", "training_recipe", "variant")
    }


def held_in_run_json(path, owner=RunDescription):
    name, _, rest = path.partition(".")
    hints = get_type_hints(owner)
    return name in hints and (not rest or held_in_run_json(rest, hints[name]))


def test_every_setting_that_affects_results_is_in_run_json():
    paths = {named.name: named.setting.recorded_as or named.name for named in settings_of(RunSettings)}
    affecting = [named.name for named in settings_of(RunSettings) if named.setting.affects_results]
    assert [name for name in affecting if not held_in_run_json(paths[name])] == []
    assert all(held_in_run_json(field.name) for field in fields(RunSettings) if field.name not in paths)
    assert not held_in_run_json("no_such_field")
    assert not held_in_run_json("memory.no_such_field")


def test_run_json_has_the_values_of_the_settings(run_fake):
    values = {"max_steps": 7, "seed": 5, "chains": 2, "train": "ABC", "training_seed": 3, "training_recipe": "plain"}
    described = run_fake("idle", **values, variant="with care").description
    assert {name: getattr(described, name) for name in values} == values
    assert (described.variant, described.scene, described.batch_size) == ("with care", "fake", 1)


def test_the_defaults_of_a_cluster_are_those_of_the_help():
    defaults = {named.name: named.default_in_words for named in settings_of(Suite)}
    assert float(defaults["cpus_per_replica"]) == RayOptions().cpus_per_replica
    assert float(defaults["gpus_per_replica"]) == RayOptions().gpus_per_replica


@pytest.mark.parametrize(
    ("hint", "value", "words"),
    [
        (Annotated[int, Setting("x", at_least=2)], 1, "expected x to be a whole number of at least 2, got 1"),
        (Annotated[int, Setting("x")], 2**53 + 1, f"expected x to be a whole number of at most {2**53}, got"),
        (Annotated[int, Setting("x")], True, "expected x to be a whole number of at least 0, got True"),
        (Annotated[float, Setting("x")], -0.5, "expected x to be a number of at least 0, got -0.5"),
        (Annotated[bool, Setting("x")], "yes", "expected x to be true or false, got 'yes'"),
        (Annotated[str, Setting("x", text="a name")], "", "expected x to be a name, got ''"),
        (Annotated[int | None, Setting("x", choices=(16, 24))], 8, "expected x to be one of 16, 24, got 8"),
    ],
)
def test_a_value_that_does_not_fit_the_declaration_is_an_error(hint, value, words):
    from dataclasses import make_dataclass

    (named,) = settings_of(make_dataclass("Owner", [("x", hint, None)]))
    with pytest.raises(ValueError, match=words):
        named.require(value)


def test_a_choice_is_guessed():
    with pytest.raises(UnknownNameError, match="Did you mean 'chain'"):
        Suite.of(policy=("random",), memory_reset=("subtask", "chian"))
