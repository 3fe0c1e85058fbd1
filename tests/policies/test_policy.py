"""What a policy says of itself."""

import jaxtyping
import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.observation import ActionConvention
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


def test_an_action_convention_may_be_given_by_its_name(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users run it
    assert PolicyTraits("a", action_convention="abs_joints").action_convention is ActionConvention.ABS_JOINTS
    with pytest.raises(UnknownNameError, match=r"convention 'relactions'\. Did you mean 'rel_actions'"):
        PolicyTraits("a", action_convention="relactions")


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"observation_keys": ("rgb_statik",)}, "Unknown observation key 'rgb_statik'. Did you mean 'rgb_static'"),
        ({"label": " "}, "expected a label to print, got ' '"),
        ({"chunk_rule": ""}, "expected a chunk_rule to print, got ''"),
        ({"chunk_length": 0}, "expected chunk_length of at least 1, got 0"),
        ({"max_batch_size": 0}, "expected max_batch_size of at least 1, got 0"),
    ],
)
def test_traits_that_make_no_sense_are_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        PolicyTraits(**{"label": "a", **wrong})
