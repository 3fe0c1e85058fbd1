"""What of the robot's state is read, and how."""

import math

import torch

from calvinbench.policies.learned.proprioception import NUMBERS_READ, RobotEncoder


def numbers_read(robot_obs):
    """What goes into the first layer."""
    encoder, seen = RobotEncoder(4), []
    encoder.layers[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    encoder(robot_obs)
    return seen[0]


def test_position_and_width_are_scaled_and_angles_wrap():
    robot_obs = torch.zeros(2, 15)
    robot_obs[0, :6] = torch.tensor([0.3, -0.1, 0.6, math.pi / 2, 0.0, -math.pi])
    robot_obs[0, 6], robot_obs[0, 14] = 0.08, -1.0
    robot_obs[1] = robot_obs[0]
    robot_obs[1, 5] = math.pi  # the same angle
    first, second = numbers_read(robot_obs)
    expected = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, -1.0, 1.0, -1.0]
    torch.testing.assert_close(first, torch.tensor(expected), atol=1e-6, rtol=0)
    torch.testing.assert_close(second, first, atol=1e-6, rtol=0)
    assert len(first) == NUMBERS_READ


def test_joints_are_not_read():
    robot_obs = torch.zeros(1, 15)
    other = robot_obs.clone()
    other[0, 7:14] = 1.0
    assert torch.equal(numbers_read(other), numbers_read(robot_obs))
