"""Actions in every form that calvin_env takes are read, and no action is invented."""

import re

import numpy as np
import pytest
import torch

from calvinbench.envs.observation import ActionConvention
from calvinbench.policies.adapters.calvin_action import read_action
from calvinbench.policies.adapters.gripper import GripperReader, GripperRule

REL, ABS = ActionConvention.REL_ACTIONS, ActionConvention.ABS_ACTIONS
ROW = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0]


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
        (None, r"expected step\(\) to return an action, got None: does it end without return\?"),
        ("left", "made of numbers"),
    ],
)
def test_no_action_is_invented(action, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_action(action, REL)


def test_a_quaternion_of_length_zero_is_refused():
    with pytest.raises(ValueError, match="quaternion xyzw of length 1"):
        read_action((ROW[:3], [0.0] * 4, 1), ABS)


@pytest.mark.parametrize("action", [ROW, np.array(ROW), torch.tensor([ROW])])
def test_flat_numbers_declared_absolute_are_not_advised_to_be_called_relative(action):
    with pytest.raises(ValueError, match=r"reads seven flat numbers as relative; return \(position, ") as caught:
        read_action(action, ABS)
    assert "{'type': 'cartesian_abs'" in str(caught.value)
    assert "actions=rel_actions" not in str(caught.value)


@pytest.mark.parametrize(
    ("action", "declared", "advice"),
    [
        ({"type": "cartesian_rel", "action": ROW}, ABS, "',actions=rel_actions'"),
        (ROW, ActionConvention.ABS_JOINTS, "',actions=rel_actions'"),
        ((ROW[:3], ROW[3:6], 1), REL, "',actions=abs_actions'"),
    ],
)
def test_other_conventions_than_declared_are_refused_with_the_setting_to_use(action, declared, advice):
    with pytest.raises(ValueError, match=advice):
        read_action(action, declared)


def test_tensors_keep_their_precision():
    exact = torch.tensor([1 / 3, 0, 0, 0, 0, 0, 1], dtype=torch.float64)
    assert read_action(exact, REL)[0] == 1 / 3


@pytest.mark.parametrize(
    ("action", "declared"),
    [
        ({"type": "cartesian_rel", "action": ROW}, ABS),
        (ROW, ActionConvention.ABS_JOINTS),
        ((ROW[:3], ROW[3:6], 1), REL),
        ({"type": "joint_abs", "action": [0.0] * 7 + [1]}, REL),
        ({"type": "joint_rel", "action": [0.0] * 7 + [1]}, REL),
    ],
)
def test_remedy_an_action_is_read_with_the_convention_that_the_error_advises(action, declared):
    with pytest.raises(ValueError, match=",actions=") as caught:
        read_action(action, declared)
    advised = ActionConvention(re.search(r"',actions=(\w+)'", str(caught.value))[1])
    assert len(read_action(action, advised)) == advised.action_dim


def test_remedy_flat_numbers_are_read_in_the_forms_that_the_errors_name():
    with pytest.raises(ValueError, match=r"return \(position, orientation, gripper\) or {'type': 'cartesian_abs'"):
        read_action(ROW, ABS)
    for form in ((ROW[:3], ROW[3:6], ROW[6]), {"type": "cartesian_abs", "action": ROW}):
        assert read_action(form, ABS).tolist() == ROW
    eight = [0.1] * 7 + [1.0]
    with pytest.raises(ValueError, match=r"got 8 flat numbers.* return joint actions as {'type': 'joint_abs'"):
        read_action(eight, ActionConvention.ABS_JOINTS)
    assert read_action({"type": "joint_abs", "action": eight}, ActionConvention.ABS_JOINTS).tolist() == eight
    pose = [0.1, 0.0, 0.5, 0.0, 0.0, 0.0, 1.0, 1.0]  # with a quaternion
    words = r"absolute poses as \(position, orientation, gripper\) or {'type': 'cartesian_abs', 'action': ...}"
    with pytest.raises(ValueError, match=words):
        read_action(pose, ABS)
    for form in ((pose[:3], pose[3:7], 1), {"type": "cartesian_abs", "action": pose}):
        assert read_action(form, ABS).tolist() == [0.1, 0.0, 0.5, 0.0, 0.0, 0.0, 1.0]
    with pytest.raises(ValueError, match="Return one action a step, not a chunk or a batch"):
        read_action(np.tile(ROW, (10, 1)), REL)
    assert read_action(np.tile(ROW, (10, 1))[0], REL).tolist() == ROW


def test_remedy_a_gripper_of_another_range_is_read_as_the_error_advises():
    with pytest.raises(ValueError, match="',gripper=unit'"):
        read_action([*ROW[:6], 0.02], REL)
    assert read_action([*ROW[:6], 0.02], REL, GripperReader(GripperRule("unit")))[-1] == -1
