"""Remedies that errors of `train` name once policy and data are there, and the smoke run: each is tried."""

import json
import re
import shutil

import pytest

from calvinbench.harness import cli
from calvinbench.harness.training.call import TrainingCallError, make_call, read_configuration
from calvinbench.harness.training.training import train
from calvinbench.policies.demonstrations.demonstrations import DataError
from calvinbench.policies.registry import make_policy
from calvinbench.policies.training.log import read_log
from support.small_training import forget_accelerator, write_data, write_numbers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data without a validation split, and the policy's numbers."""
    folder = tmp_path_factory.mktemp("remedies")
    write_data(folder / "data")
    shutil.rmtree(folder / "data" / "validation")
    write_numbers(folder)
    return folder


def configured(folder, out, smoke=False, **flags):
    """`train cnn` with a smaller policy."""
    forget_accelerator()
    policy = f"untrained:cnn,memory_span=window:3,chunk_length=4,hidden_dim=16,size={folder / 'numbers.json'}"
    places = {"data": str(folder / "data"), "out": str(out), "device": "cpu", "policy": policy}
    call = make_call(places | flags, read_configuration("cnn"), name="cnn", smoke=smoke)
    return train(call, lambda words: None)


SMALL = {"batch_size": 2, "effective_batch_size": 2, "window_size": 3, "num_workers": 0, "warmup_steps": 0}


def test_remedy_data_without_a_validation_split(folder, tmp_path):
    with pytest.raises(DataError) as raised:
        configured(folder, tmp_path / "out", max_steps=1, **SMALL)
    (value,) = re.findall(r"--validate-every (\d)", str(raised.value))
    configured(folder, tmp_path / "out", max_steps=1, **SMALL, validate_every=int(value))
    assert read_log(tmp_path / "out")[-1].step == 1


def test_remedy_a_validation_split_without_the_tasks(folder, tmp_path):
    shutil.copytree(folder / "data", tmp_path / "data")
    shutil.copytree(folder / "data" / "training", tmp_path / "data" / "validation")
    for number in (1, 4):  # those of turn_on_led
        (tmp_path / "data" / "validation" / f"episode_{number:06d}.safetensors").unlink()
    own = {"data": str(tmp_path / "data"), "tasks": ["turn_on_led"], "max_steps": 1, **SMALL}
    with pytest.raises(DataError, match=r"In the validation split: .* set --validate-every 0"):
        configured(folder, tmp_path / "out", **own)
    configured(folder, tmp_path / "out", **own, validate_every=0)


def test_a_configurations_steps_may_be_more_than_its_epochs_have(folder, tmp_path):
    made = configured(folder, tmp_path / "out", **SMALL, max_epochs=1, validate_every=0)
    assert made.num_steps == 7


def test_remedy_more_steps_than_the_epochs_have(folder, tmp_path):
    short = {**SMALL, "validate_every": 0}
    with pytest.raises(TrainingCallError) as raised:
        configured(folder, tmp_path / "out", **short, max_epochs=1, max_steps=9)
    epochs, steps = re.search(r"--max-epochs to (\d+), or lower --max-steps to (\d+)", str(raised.value)).groups()
    assert configured(folder, tmp_path / "a", **short, max_epochs=int(epochs), max_steps=9).num_steps == 9
    assert configured(folder, tmp_path / "b", **short, max_epochs=1, max_steps=int(steps)).num_steps == 7


def test_remedy_a_warm_up_of_more_steps_than_the_epochs_have(folder, tmp_path):
    short = {**SMALL, "validate_every": 0, "max_epochs": 1}
    with pytest.raises(TrainingCallError) as raised:
        configured(folder, tmp_path / "out", **short | {"warmup_steps": 8})
    assert "warmup_steps 8 (given as --warmup-steps)" in str(raised.value)
    assert not (tmp_path / "out").exists()
    (value,) = re.findall(r"--warmup-epochs 0 --warmup-steps (\d+)", str(raised.value))
    configured(folder, tmp_path / "out", **short | {"warmup_steps": int(value), "warmup_epochs": 0})


def test_a_shift_of_a_camera_that_is_not_seen_is_passed_over_if_a_configuration_brings_it(folder, tmp_path):
    policy = f"untrained:cnn,memory_span=window:3,hidden_dim=16,cameras=static,size={folder / 'numbers.json'}"
    own = {**SMALL, "validate_every": 0, "max_steps": 1, "policy": policy}
    configured(folder, tmp_path / "out", **own)
    with pytest.raises(TrainingCallError, match="gripper_shift=2 has no effect because "):
        configured(folder, tmp_path / "another", **own, gripper_shift=2)


@pytest.mark.parametrize("memory", ["window:3", "unbounded"])
def test_a_smoke_run_takes_a_few_steps_on_any_data_and_its_checkpoint_is_read(folder, tmp_path, memory):
    policy = f"untrained:cnn,memory_span={memory},hidden_dim=16,size={folder / 'numbers.json'}"
    given = {"effective_batch_size": 24, "evaluate_every": 500, "evaluate_scene": "D"}  # would conflict
    made = configured(folder, tmp_path / "out", smoke=True, policy=policy, **given)
    assert made.num_steps == 4
    assert [line.step for line in read_log(tmp_path / "out")] == [1, 2, 3, 4]
    assert min(line.learning_rate for line in read_log(tmp_path / "out")) > 0
    assert make_policy(f"checkpoint:{tmp_path / 'out' / 'checkpoint'}").traits.label.startswith("cnn")


def test_a_smoke_run_on_the_command_line(folder, tmp_path, capsys):
    words = ["train", "fixtures-cnn", "--smoke", "--data", str(folder / "data"), "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--max-steps", "2", "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["last"]["step"] == 2  # what a flag says stays


def test_a_smoke_run_draws_no_published_weights():
    call = make_call({"data": "d", "out": "o"}, read_configuration("paligemma"), name="paligemma", smoke=True)
    assert "published" not in call.settings.policy
    assert call.settings.policy.startswith("untrained:paligemma,layout=robovlms,head=robovlms,")
    assert call.settings.policy.endswith("hidden_dim=16")
