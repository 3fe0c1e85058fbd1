"""Image sizes as settings of a run: the world renders them, and `run.json` has them."""

import json

import pytest

from calvinbench.harness import cli
from calvinbench.harness.records.runs import load_run
from calvinbench.harness.rollout.workers import make_play_table
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.policies.policy import PolicyTraits

TRAITS = PolicyTraits(label="looks", observation_keys=("rgb_static", "rgb_gripper"))


@pytest.mark.parametrize(
    ("sizes", "shown"), [({}, (200, 84)), ({"static_size": 64}, (64, 84)), ({"gripper_size": 32}, (200, 32))]
)
def test_the_world_renders_the_sizes_that_are_set(sizes, shown):
    world = make_play_table(RunSettings("random", **sizes), TRAITS)
    try:
        observation, _ = world.reset(seed=0)
        assert (len(observation["rgb_static"]), len(observation["rgb_gripper"])) == shown
    finally:
        world.close()


def test_a_run_keeps_its_sizes_and_refuses_others(tmp_path, capsys):
    command = ["run", "--policy", "random", "--chains", "1", "--max-steps", "2", "--out", str(tmp_path)]
    assert cli.main([*command, "--static-size", "64"]) == 0
    description = load_run(tmp_path / "random").description
    assert (description.static_size, description.gripper_size) == (64, None)
    assert "the static camera has 64 pixels, not 200" in description.official.because
    assert "gripper_size" not in json.loads((tmp_path / "random" / "run.json").read_text())
    capsys.readouterr()
    assert cli.main(command) == 2
    assert "static_size was 64 and is now None" in capsys.readouterr().err


def test_calvin_envs_own_simulator_has_no_other_sizes():
    with pytest.raises(ValueError, match="Remove them, or use another simulation"):
        make_play_table(RunSettings("random", simulation="upstream", static_size=64), TRAITS)


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_is_a_whole_number_of_pixels(size):
    with pytest.raises(ValueError, match="static_size"):
        RunSettings("random", static_size=size)
