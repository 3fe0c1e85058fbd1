import json
from dataclasses import replace

import numpy as np
import pytest

from calvinbench.envs.upstream.recording import Recording
from calvinbench.harness import cli
from calvinbench.harness.diagnostics.parity import compare, scene_entries, wander

ENTRIES = {
    "robot_obs": tuple(f"number {index}" for index in range(15)),
    "scene_obs": scene_entries(("block_red", "block_blue", "block_pink")),
}


@pytest.fixture
def recording():
    """Five actions, with pictures after the reset and after every second action."""
    generator = np.random.default_rng(0)
    pictures = {"static": generator.integers(0, 200, (3, 4, 4, 3)).astype(np.uint8)}
    return Recording(generator.standard_normal((6, 15)), generator.standard_normal((6, 24)), pictures, 2, "797142c")


def compare_here(upstream, ours):
    return compare(upstream, ours, ENTRIES, "D", 0)


def test_equal_recordings_are_called_the_same(recording):
    found = compare_here(recording, replace(recording))
    assert found.is_same
    assert found.largest == 0.0
    assert "equal to the last bit" in found.words()
    assert "3 images" in found.words()


def test_the_first_difference_is_told_by_step_entry_and_size(recording):
    scene_obs = recording.scene_obs.copy()
    scene_obs[3, 12] += 1e-9
    scene_obs[4, 0] += 2.0
    robot_obs = recording.robot_obs.copy()
    robot_obs[5, 0] += 1.0
    found = compare_here(recording, replace(recording, scene_obs=scene_obs, robot_obs=robot_obs))
    assert not found.is_same
    assert (found.state.step, found.state.entry) == (3, "scene_obs[12] (block_blue x)")
    assert found.state.size == pytest.approx(1e-9, rel=1e-3)
    assert found.largest == pytest.approx(2.0)
    assert "first difference after step 3: scene_obs[12] (block_blue x)" in found.words()


def test_the_smallest_difference_of_one_pixel_is_found(recording):
    pictures = {"static": recording.images["static"].copy()}
    pictures["static"][1, 2, 3, 0] += 1
    found = compare_here(recording, replace(recording, images=pictures))
    assert found.state is None
    assert (found.picture.step, found.picture.entry, found.picture.size) == (2, "rgb_static", 1.0)
    assert "first differing image after step 2" in found.words()


def test_a_revision_that_we_do_not_follow_is_told_where_there_is_a_difference(recording):
    other = replace(recording, revision="1431a46", scene_obs=recording.scene_obs + 1)
    assert "our world follows calvin_env 797142c" in compare_here(other, recording).words()


def test_actions_are_drawn_by_the_generator_and_the_gripper_is_exactly_open_or_closed():
    actions = wander(200, np.random.default_rng(3))
    assert np.array_equal(actions, wander(200, np.random.default_rng(3)))
    assert not np.array_equal(actions, wander(200, np.random.default_rng(4)))
    assert set(actions[:, 6]) == {-1.0, 1.0}
    assert np.abs(actions[:, :6]).max() <= 1.1


def test_wrong_calls_are_told_in_words(tmp_path, capsys):
    assert cli.main(["doctor", "--calvin", "--calvin-env", str(tmp_path)]) == 2
    assert "expected a checkout of calvin_env" in capsys.readouterr().err
    assert cli.main(["doctor", "--calvin", "--steps", "0"]) == 2
    assert "at least one step" in capsys.readouterr().err
    assert cli.main(["doctor", "--calvin", "--calvin-data", str(tmp_path)]) == 2
    assert "got both" in capsys.readouterr().err


@pytest.mark.recorded
def test_a_checkout_without_source_fails_with_status_1(recordings, capfd):
    arguments = ["doctor", "--calvin", "--steps", "1", "--calvin-env", str(recordings / "calvin_env")]
    assert cli.main(arguments) == 1
    assert "expected calvin_env's source" in capfd.readouterr().err


@pytest.mark.slow
def test_our_world_does_what_calvin_envs_simulator_does(upstream, capfd):
    words = ["doctor", "--calvin", "--steps", "30", "--json", "--calvin-env", str(upstream.checkout.root)]
    assert cli.main(words) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["ok"], found["state"], found["picture"], found["num_pictures"]) == (True, None, None, 22)
