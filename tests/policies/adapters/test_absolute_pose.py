"""Quaternions of absolute actions become euler angles, and eight joints stay what they are."""

import numpy as np
import pytest

from calvinbench.envs.observation import ActionConvention
from calvinbench.policies.adapters.absolute_pose import with_euler_angles


def test_a_quaternion_is_read_in_the_order_xyzw_and_normalised():
    import pybullet

    euler = [3.1, 0.2, 1.5]
    quaternion = np.array(pybullet.getQuaternionFromEuler(euler))
    for factor in (1.0, 2.5):
        found = with_euler_angles(np.array([0.1, 0.2, 0.5, *quaternion * factor, -1.0]))
        np.testing.assert_allclose(found, [0.1, 0.2, 0.5, *euler, -1.0], atol=1e-7)


def test_other_actions_are_returned_as_they_are():
    eight, seven = np.arange(8.0), np.arange(7.0)
    assert with_euler_angles(eight, ActionConvention.ABS_JOINTS) is eight
    assert with_euler_angles(seven) is seven


def test_remedy_a_quaternion_without_length_says_the_order_that_works():
    with pytest.raises(ValueError, match="in the order x, y, z, w, gripper"):
        with_euler_angles(np.zeros(8))
    np.testing.assert_array_equal(with_euler_angles(np.array([0, 0, 0, 0, 0, 0, 1.0, -1])), [0] * 6 + [-1])
