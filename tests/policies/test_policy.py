"""What a policy says of itself."""

import pytest

from calvinbench.policies.policy import Memory, PolicyTraits


@pytest.mark.parametrize("span", ["none", "unbounded", "window:1", "window:16"])
def test_memory_spans_that_exist(span):
    assert Memory(span=span).span == span


@pytest.mark.parametrize("span", ["window:0", "window:", "window:-1", "window:²", "forever", ""])
def test_memory_spans_that_do_not_exist_are_refused(span):
    with pytest.raises(ValueError, match="'window:N' with N > 0"):
        Memory(span=span)


def test_a_policys_cameras_are_those_of_its_observation_keys():
    assert PolicyTraits("a", observation_keys=("rgb_gripper", "robot_obs")).cameras == ("gripper",)
    assert PolicyTraits("a", observation_keys=("rgb_gripper", "depth_static")).cameras == ("static", "gripper")
    assert PolicyTraits("a", observation_keys=("robot_obs",)).cameras == ()
