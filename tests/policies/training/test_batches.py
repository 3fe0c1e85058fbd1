"""Windows as tensors, and as labels."""

import numpy as np
import pytest
import torch

from calvinbench.policies.demonstrations.windows import Window
from calvinbench.policies.learned.pose_range import PoseRange
from calvinbench.policies.training.batches import collate_windows


def window(x, robot_obs=None):
    """Two frames, the second behind the end; two actions a chunk, of which the last is not valid."""
    actions = np.zeros((2, 2, 7), dtype=np.float32)
    actions[0, :, 0] = x
    actions[0, :, 6] = (1, -1)
    marks = np.array([[True, True], [False, False]])
    return Window(
        images={"static": np.full((2, 4, 4, 3), 7, dtype=np.uint8)},
        robot_obs=robot_obs,
        instruction=f"move by {x}",
        task="open_drawer",
        actions=actions,
        is_valid=marks,
        is_frame=np.array([True, False]),
        changes_gripper=marks & [False, True],
    )


def test_windows_are_stacked():
    batch = collate_windows([window(0.5), window(-0.5)])
    assert batch.images.batch_shape == (2, 2)
    assert batch.images.gripper is None
    assert batch.instructions == ("move by 0.5", "move by -0.5")
    assert (batch.num_valid, batch.num_frames) == (4, 2)
    assert batch.robot_obs is None
    states = np.arange(30, dtype=np.float32).reshape(2, 15)
    assert collate_windows([window(0.5, states)] * 3).robot_obs[2].tolist() == states.tolist()


@pytest.mark.parametrize(
    ("low", "high", "x", "label"),
    [
        (-1.0, 1.0, 0.5, 0.5),
        (-0.5, 0.5, 0.25, 0.5),
        (-0.5, 0.5, 0.9, 1.0),
        (-0.2, 0.6, 0.2, 0.0),
        (-0.2, 0.6, -0.9, -1.0),
    ],
)
def test_labels_are_in_the_poses_range(low, high, x, label):
    labels = collate_windows([window(x)]).labels(PoseRange(low, high))
    assert labels.pose[0, 0, :, 0].tolist() == pytest.approx([label, label], abs=1e-6)
    assert labels.gripper[0, 0].tolist() == [1, -1]
    assert labels.gripper_weight is None


def test_the_gripper_weighs_more_where_it_changes():
    labels = collate_windows([window(0.5)]).labels(PoseRange(), gripper_change_weight=4.0)
    assert torch.equal(labels.gripper_weight[0], torch.tensor([[1.0, 4.0], [1.0, 1.0]]))
