"""Poses are scaled to actions and back."""

import pytest
import torch

from calvinbench.policies.learned.pose_range import PoseRange


def test_the_ends_and_the_middle_of_the_outputs_are_those_of_the_range():
    outputs = torch.tensor([[-1.0, 0.0, 1.0, 0.5, -0.5, 0.0]], dtype=torch.float64)
    poses = PoseRange(-0.2, 0.6).to_action(outputs)
    torch.testing.assert_close(poses, torch.tensor([[-0.2, 0.2, 0.6, 0.4, 0.0, 0.2]], dtype=torch.float64))


def test_scaling_back_is_the_inverse_and_clips_what_is_beyond_the_range():
    scaling = PoseRange(-0.65, 0.65)
    outputs = torch.linspace(-1, 1, 6, dtype=torch.float64)
    torch.testing.assert_close(scaling.to_output(scaling.to_action(outputs)), outputs)
    poses = torch.tensor([-1.0, 1.0, 0.65, -0.65, 0.0, 9.0], dtype=torch.float64)
    torch.testing.assert_close(scaling.to_output(poses), torch.tensor([-1.0, 1, 1, -1, 0, 1], dtype=torch.float64))


def test_a_range_is_from_low_to_high():
    with pytest.raises(ValueError, match=r"low below high, got 1\.0 and -1\.0"):
        PoseRange(1.0, -1.0)
