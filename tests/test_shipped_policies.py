"""The policies that come with the package: small, at home in today's world, and able to do something."""

import json

import pytest

from calvinbench.harness import cli, load_run
from calvinbench.policies.registry import make_policy
from calvinbench.policies.shipped import shipped_folder, shipped_policies

FIXTURES = ("open_drawer", "close_drawer", "move_slider_right", "turn_on_lightbulb", "turn_off_led")


def test_there_is_one_of_the_plain_convolutional_policy():
    assert "cnn" in shipped_policies()


@pytest.mark.parametrize("name", shipped_policies())
def test_it_is_small_and_says_where_it_comes_from(name):
    assert sum(file.stat().st_size for file in shipped_folder(name).rglob("*") if file.is_file()) < 5e6
    traits = make_policy(f"checkpoint:{name}").traits
    assert "shipped with calvinbench" in traits.label
    assert traits.trained_on.scene == "embedded"
    assert {"data", "training"} <= json.loads((shipped_folder(name) / "policy.json").read_text())["notes"].keys()


@pytest.mark.slow
def test_it_does_most_fixture_tasks_in_the_world_that_it_was_trained_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "--policy", "checkpoint:cnn", "--chains", "1", "--tasks", *FIXTURES]) == 0
    (run,) = [load_run(folder.parent) for folder in tmp_path.rglob("run.json")]
    assert run.description.unlike_training == ()
    assert len(run.records) == len(FIXTURES)
    assert run.completed.sum() >= 4
