"""Conflicts of a training's command: all at once, each with its source, at once, and each remedy works."""

import re
import subprocess
import sys

import pytest
import yaml

from calvinbench.envs.names import UnknownNameError
from calvinbench.harness.training.aliases import ALIASES
from calvinbench.harness.training.call import (
    KEYS,
    TrainingCallError,
    make_call,
    read_configuration,
    shipped_configurations,
)

PLACES = {"data": "data", "out": "out"}
SCRIPT = """
import sys
from calvinbench.harness import cli
assert cli.main(["train", "cnn", "--data", "d", "--out", "o", "--batch-size", "4", "--max-steps", "100"]) == 2
assert "torch" not in sys.modules
"""


def call(configuration, **flags):
    return make_call(PLACES | flags, read_configuration(configuration), name=configuration)


def flags_in(text, *names):
    """Values of the flags that a message names."""
    found = {name: re.search(rf"--{name.replace('_', '-')} (\d+)", text) for name in names}
    return {name: int(match.group(1)) for name, match in found.items() if match}


def test_all_conflicts_are_said_at_once_with_where_each_value_comes_from():
    with pytest.raises(TrainingCallError) as raised:
        call("cnn", batch_size=4, max_steps=100, window_size=4, lora_r=3)
    text = str(raised.value)
    assert "got 4 that do not" in text
    assert "4 x 1 x 1 = 4 and 24: batch_size 4 (given as --batch-size), effective_batch_size 24 (set by" in text
    assert "warmup_steps 200 (set by configuration cnn)" in text
    assert "memory_span=window:8 (set by configuration cnn), got 4 (given as --window-size)" in text
    assert "lora_r=3 has no effect because " in text


def test_they_are_said_before_torch_is_loaded():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "effective_batch_size 24 (set by configuration cnn)" in done.stderr


@pytest.mark.parametrize("way", ["gradient_accumulation_steps", "effective_batch_size"])
def test_remedy_another_batch_size_than_the_fixed_product(way):
    with pytest.raises(TrainingCallError) as raised:
        call("cnn", batch_size=4)
    named = flags_in(str(raised.value), way)
    assert named == {way: {"gradient_accumulation_steps": 6, "effective_batch_size": 4}[way]}
    assert call("cnn", batch_size=4, **named).settings.optimization.batch_size == 4


def test_remedy_a_product_that_no_accumulation_reaches():
    with pytest.raises(TrainingCallError) as raised:
        call("cnn", batch_size=5)
    assert "gradient-accumulation" not in str(raised.value).partition("Say")[2]
    call("cnn", batch_size=5, **flags_in(str(raised.value), "effective_batch_size"))


def test_processes_count_as_their_launcher_says(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert call("cnn", batch_size=12).settings.optimization.batch_size == 12
    with pytest.raises(TrainingCallError, match="24 x 1 x 2 = 48 and 24"):
        call("cnn")


def test_remedy_a_warm_up_that_is_longer_than_the_training():
    with pytest.raises(TrainingCallError) as raised:
        call("cnn", max_steps=100)
    made = call("cnn", max_steps=100, **flags_in(str(raised.value), "warmup_epochs", "warmup_steps"))
    assert made.settings.optimization.warmup_steps == 10


def test_remedy_a_window_that_is_not_the_memorys():
    with pytest.raises(TrainingCallError) as raised:
        call("cnn", window_size=4)
    call("cnn", **flags_in(str(raised.value), "window_size"))
    with pytest.raises(TrainingCallError, match="as --window-size"):
        call("cnn", window_size=4)
    policy = read_configuration("cnn")["policy"].replace("window:8", "window:4")
    call("cnn", window_size=4, policy=policy)


def test_remedy_chains_between_checkpoints():
    with pytest.raises(TrainingCallError, match=r"multiple of save_every, 500, or 0, got 150") as raised:
        call("cnn", evaluate_every=150)
    assert call("cnn", evaluate_every=150, **flags_in(str(raised.value), "save_every")).evaluate_every == 150


def test_remedy_everything_that_is_missing_is_named():
    with pytest.raises(TrainingCallError) as raised:
        make_call({})
    keys = re.findall(r"--(\w+)", str(raised.value))
    assert keys == ["policy", "data", "out"]
    make_call(dict.fromkeys(keys, "untrained:cnn"))


MAKE_IDLE = {
    "validate_every": 0,
    "schedule": "constant",
    "gripper_loss_ratio": 0.0,
    "freeze_backbone": True,
    "lora_enable": False,
}


@pytest.mark.parametrize("flag", MAKE_IDLE)
@pytest.mark.parametrize("name", shipped_configurations())
def test_what_a_shipped_configuration_brings_is_never_refused_as_idle(name, flag):
    if flag == "freeze_backbone" and read_configuration(name).get("lora_enable"):
        pytest.skip("a contradiction, not an idle key")
    made = call(name, **{flag: MAKE_IDLE[flag]})
    assert made.source(flag) == f"given as --{flag.replace('_', '-')}"


def test_what_flags_make_idle_of_ones_own_configuration_is_passed_over_and_what_is_idle_in_it_is_not():
    own = {"policy": "untrained:cnn", "validation_windows": 9}
    made = make_call(PLACES | {"validate_every": 0}, own)
    assert made.settings.validation_windows == 256
    assert "validation_windows" not in made.said
    with pytest.raises(TrainingCallError, match="validation_windows=9 has no effect because "):
        make_call(PLACES, own | {"validate_every": 0})
    with pytest.raises(TrainingCallError, match="validation_windows=9 has no effect because "):
        make_call(PLACES | {"validate_every": 0, "validation_windows": 9}, own)


def test_a_rate_of_the_vlm_from_a_configuration_does_not_meet_a_frozen_vlm():
    made = make_call(PLACES | {"freeze_backbone": True}, {"policy": "untrained:cnn", "backbone_learning_rate": 1e-5})
    assert made.settings.optimization.backbone_learning_rate is None


@pytest.mark.parametrize("alias", ALIASES)
def test_remedy_names_of_other_trainers_are_suggested(alias, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump({alias: 1}))
    if alias in KEYS:
        pytest.fail(f"'{alias}' is a key")
    with pytest.raises(UnknownNameError, match=f"Did you mean '{ALIASES[alias]}'"):
        read_configuration(str(file))
    assert ALIASES[alias] in KEYS
