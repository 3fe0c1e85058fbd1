"""CALVIN's own models run unchanged, and what they do wrong is said in words."""

import sys

import numpy as np
import pytest
import torch

from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.observation import ActionConvention, Observation
from calvinbench.policies.calvin_model import CalvinModelPolicy, read_action
from calvinbench.policies.check import check_policy, made_up_observation
from calvinbench.policies.registry import make_policy
from calvinbench.policies.spec import PolicySpecError

REL, ABS = ActionConvention.REL_ACTIONS, ActionConvention.ABS_ACTIONS
ROW = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0]

# As a user of CALVIN writes it (calvin_agent's CustomModel), and nothing of calvinbench in it.
USER_MODULE = """
import numpy as np
import torch

class CustomModel:
    def __init__(self, scale="1"):
        self.scale = float(scale)
        self.num_steps = None

    def reset(self):
        self.num_steps = 0

    def step(self, obs, goal):
        assert obs["rgb_obs"]["rgb_static"].shape == (200, 200, 3)
        assert obs["rgb_obs"]["rgb_gripper"].dtype == np.uint8
        assert obs["robot_obs"].shape == (15,)
        assert goal
        self.num_steps += 1
        return torch.tensor([[self.scale * self.num_steps / 100, 0, 0, 0, 0, 0, -1]])

class Peeker(CustomModel):
    def step(self, obs, goal):
        return obs["scene_obs"]

class DepthReader(CustomModel):
    def step(self, obs, goal):
        depth = obs["depth_obs"]["depth_static"]
        assert depth.shape == (200, 200) and depth.dtype == np.float32
        return [0, 0, 0, 0, 0, 0, 1]

class Absolute(CustomModel):
    def step(self, obs, goal):
        return obs["robot_obs"][:3], obs["robot_obs"][3:6], 1

class NoReset:
    def step(self, obs, goal):
        return None
"""


@pytest.fixture(autouse=True)
def user_module(tmp_path, monkeypatch):
    (tmp_path / "user_calvin.py").write_text(USER_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("user_calvin", None)


def one_world(policy):
    return Observation.stack([made_up_observation(np.random.default_rng(0))], policy.traits.observation_keys)


def act_once(policy):
    return policy.act(one_world(policy), ["open the drawer"], policy.initial_state(1))


def test_a_users_model_runs_and_keeps_to_the_interface():
    check_policy(make_policy("calvin:user_calvin:CustomModel"), state_is_value=False)


def test_reset_is_called_at_the_start_and_where_the_row_is_marked():
    policy = make_policy("calvin:user_calvin:CustomModel,scale=2")
    state = policy.initial_state(1)
    firsts = []
    for step in range(5):
        if step in (2, 3):
            state = policy.reset_state(state, np.array([step == 3]))
        actions, state = policy.act(one_world(policy), ["open the drawer"], state)
        firsts.append(round(float(actions[0, 0]), 6))
    assert firsts == [0.02, 0.04, 0.06, 0.02, 0.04]


def test_the_scene_is_withheld_with_a_reason():
    with pytest.raises(KeyError, match="'scene_obs', the true state of the scene, is withheld"):
        act_once(make_policy("calvin:user_calvin:Peeker"))


def test_depth_is_shown_on_request_and_explained_without():
    assert act_once(make_policy("calvin:user_calvin:DepthReader,depth=true")).actions.tolist() == [[0] * 6 + [1]]
    with pytest.raises(KeyError, match=",depth=true"):
        act_once(make_policy("calvin:user_calvin:DepthReader"))
    assert make_policy("calvin:user_calvin:CustomModel").traits.observation_keys == (
        "rgb_static",
        "rgb_gripper",
        "robot_obs",
    )


def test_absolute_actions_are_declared_or_refused_with_the_setting_to_use():
    policy = make_policy("calvin:user_calvin:Absolute,actions=abs_actions")
    actions = act_once(policy).actions
    np.testing.assert_array_equal(actions[0, :6], one_world(policy).robot_obs[0, :6])
    with pytest.raises(ValueError, match="',actions=abs_actions' to the policy spec"):
        act_once(make_policy("calvin:user_calvin:Absolute"))


def test_one_model_serves_one_world():
    policy = make_policy("calvin:user_calvin:CustomModel")
    assert policy.traits.max_batch_size == 1
    with pytest.raises(ValueError, match=r"expected one world for a CALVIN model .*, got 2"):
        policy.initial_state(2)


@pytest.mark.parametrize(
    ("spec", "error", "complaint"),
    [
        ("calvin:user_calvin:CustomModel,size=3", PolicySpecError, r"settings \['size'\], but: got an unexpected"),
        ("calvin:user_calvin:CustomModel,depth=yes", PolicySpecError, "'true' or 'false'"),
        ("calvin:user_calvin:CustomModel,actions=relactions", UnknownNameError, "Did you mean 'rel_actions'"),
        ("calvin:user_calvin:CustomModell", UnknownNameError, "Did you mean 'CustomModel'"),
        ("calvin:user_calvin:NoReset", TypeError, r"reset\(\) and step\(obs, goal\), got NoReset"),
    ],
)
def test_what_cannot_be_made_is_refused_in_words(spec, error, complaint):
    with pytest.raises(error, match=complaint):
        make_policy(spec)


@pytest.mark.parametrize(
    "action",
    [
        np.array(ROW),
        ROW,
        tuple(ROW),
        torch.tensor(ROW, dtype=torch.float64),
        torch.tensor([ROW], requires_grad=True),
        np.array([[ROW]]),
        {"type": "cartesian_rel", "action": ROW},
    ],
)
def test_relative_actions_are_read_in_every_form(action):
    np.testing.assert_allclose(read_action(action, REL), ROW, rtol=1e-6)


@pytest.mark.parametrize(
    "action",
    [
        (ROW[:3], ROW[3:6], 1),
        (np.array(ROW[:3]), np.array(ROW[3:6]), np.array([1.0])),
        {"type": "cartesian_abs", "action": ROW},
        {"type": "cartesian_abs", "action": (ROW[:3], ROW[3:6], 1)},
    ],
)
def test_absolute_actions_are_read_in_every_form(action):
    np.testing.assert_allclose(read_action(action, ABS), ROW, rtol=1e-6)


@pytest.mark.parametrize("as_row", [False, True])
def test_quaternions_become_euler_angles_as_pybullet_makes_them(as_row):
    import pybullet

    euler = [0.4, -0.5, 2.6]
    quaternion = pybullet.getQuaternionFromEuler(euler)
    row = [*ROW[:3], *quaternion, -1]
    action = {"type": "cartesian_abs", "action": row} if as_row else (ROW[:3], quaternion, -1)
    np.testing.assert_allclose(read_action(action, ABS), [*ROW[:3], *euler, -1], atol=1e-7)


def test_joint_actions_have_eight_numbers():
    row = [0.1] * 7 + [-1]
    assert read_action({"type": "joint_abs", "action": row}, ActionConvention.ABS_JOINTS).tolist() == row
    assert read_action({"type": "joint_rel", "action": row}, ActionConvention.REL_JOINTS).tolist() == row


@pytest.mark.parametrize(
    ("action", "complaint"),
    [
        ([*ROW[:6], 0.7], r"gripper .* exactly -1 \(close\) or \+1 \(open\), got 0\.7"),
        ([*ROW[:6], 0], "gripper"),
        ([*ROW[:6], float("nan")], "finite"),
        ([float("inf"), *ROW[1:]], "finite"),
        (ROW[:6], "relative action of 7 numbers, got 6"),
        (np.zeros((10, 7)), r"one action \(7 numbers\), got an array of shape \(10, 7\)"),
        ({"type": "joint_abs", "action": [0.0] * 7 + [1]}, "',actions=abs_joints'"),
        ({"type": "cartesian_rel"}, r"'type' and 'action', got keys \['type'\]"),
        ({"type": "cartesian", "action": ROW}, "Did you mean 'cartesian_"),
        (None, "made of numbers|7 numbers|finite"),
        ("left", "made of numbers"),
    ],
)
def test_no_action_is_invented(action, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_action(action, REL)


def test_a_quaternion_of_length_zero_is_refused():
    with pytest.raises(ValueError, match="quaternion xyzw of length 1"):
        read_action((ROW[:3], [0.0] * 4, 1), ABS)


def test_a_model_can_be_given_as_an_object():
    class Model:
        def reset(self):
            pass

        def step(self, obs, goal):
            return ROW

    assert act_once(CalvinModelPolicy(Model(), label="mine")).actions.tolist() == [ROW]
