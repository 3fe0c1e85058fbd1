"""The loss of chunks: numbers that a person can check, and those of RoboVLMs' own code."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from calvinbench.policies.training.losses import ChunkLabels, chunk_loss


def labels_of(pose: float, grippers: list[float], valid: list[bool]) -> ChunkLabels:
    """One row, one step, a chunk as long as the lists."""
    length = len(grippers)
    return ChunkLabels(
        torch.full((1, 1, length, 6), pose), torch.tensor(grippers)[None, None], torch.tensor(valid)[None, None]
    )


def test_the_pose_is_a_square_up_to_one_and_a_line_beyond():
    labels = labels_of(0.0, [1.0, 1.0], [True, True])
    chunks = torch.zeros(1, 1, 2, 7)
    chunks[0, 0, 0, :6] = 0.5
    chunks[0, 0, 1, :6] = 3.0
    # 0.5 x 0.25 and 3 - 0.5.
    assert chunk_loss(chunks, labels).pose.item() == pytest.approx((0.125 + 2.5) / 2)


def test_the_gripper_is_cross_entropy_and_open_is_plus_one():
    chunks = torch.zeros(1, 1, 2, 7)
    chunks[..., 6] = math.log(3.0)
    loss = chunk_loss(chunks, labels_of(0.0, [1.0, -1.0], [True, True]))
    # A probability of 3/4 for open: -ln 3/4 where it should open, -ln 1/4 where it should close.
    assert loss.gripper.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)
    assert loss.gripper_accuracy.item() == 0.5
    assert loss.total.item() == pytest.approx(0.01 * loss.gripper.item())


def test_the_ratio_can_be_set():
    chunks = torch.ones(1, 1, 1, 7)
    labels = labels_of(0.0, [1.0], [True])
    loss = chunk_loss(chunks, labels, gripper_ratio=2.0)
    assert loss.total.item() == pytest.approx(0.5 + 2.0 * math.log(1 + math.exp(-1)))
    with pytest.raises(ValueError, match=r"expected gripper_ratio of at least 0, got -1.0"):
        chunk_loss(chunks, labels, gripper_ratio=-1.0)


def test_what_is_not_valid_counts_nowhere():
    chunks = torch.zeros(1, 1, 2, 7)
    chunks[0, 0, 0, :6] = 0.5
    chunks[0, 0, 1] = 100.0
    chunks.requires_grad_(True)
    labels = labels_of(0.0, [1.0, 0.0], [True, False])
    labels = replace(labels, pose=torch.where(labels.valid[..., None], labels.pose, torch.nan))
    loss = chunk_loss(chunks, labels)
    assert loss.pose.item() == pytest.approx(0.125)
    assert loss.gripper.item() == pytest.approx(math.log(2))
    loss.total.backward()
    assert chunks.grad[0, 0, 0].abs().min() > 0
    assert not chunks.grad[0, 0, 1].any()


def test_a_model_in_half_precision_is_judged_in_single():
    chunks = torch.zeros(1, 1, 1, 7, dtype=torch.bfloat16)
    loss = chunk_loss(chunks, labels_of(1e-4, [1.0], [True]))
    assert loss.total.dtype == torch.float32
    assert loss.pose.item() == pytest.approx(0.5e-8)


def test_losses_of_parts_over_the_count_of_the_whole_add_up():
    generator = torch.Generator().manual_seed(0)
    chunks = torch.randn(3, 2, 4, 7, generator=generator)
    pose = torch.rand(3, 2, 4, 6, generator=generator)
    gripper = torch.where(torch.rand(3, 2, 4, generator=generator) < 0.5, 1.0, -1.0)
    valid = torch.rand(3, 2, 4, generator=generator) < 0.6
    valid[0, 0, 0] = True
    whole = chunk_loss(chunks, ChunkLabels(pose, gripper, valid), 0.5)
    count = float(valid.sum())
    assert 0 < valid[:1].sum() != valid[1:].sum() / 2
    parts = [
        chunk_loss(chunks[rows], ChunkLabels(pose[rows], gripper[rows], valid[rows]), 0.5, num_valid=count)
        for rows in (slice(0, 1), slice(1, 3))
    ]
    for name in ("total", "pose", "gripper"):
        summed = sum(getattr(part, name).item() for part in parts)
        assert summed == pytest.approx(getattr(whole, name).item(), rel=1e-6)


def test_the_gripper_may_weigh_more_at_some_actions():
    chunks = torch.zeros(1, 1, 2, 7)
    labels = replace(labels_of(0.0, [1.0, 1.0], [True, True]), gripper_weight=torch.tensor([[[1.0, 3.0]]]))
    assert chunk_loss(chunks, labels).gripper.item() == pytest.approx(2 * math.log(2))  # (1 + 3) / 2 of what it was


@pytest.mark.parametrize("wrong", [0.0, 0.5, -2.0, math.nan])
def test_gripper_labels_other_than_one_and_minus_one_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected gripper labels of \+1 \(open\) or -1 \(close\), got"):
        labels_of(0.0, [1.0, wrong], [True, True])


def test_labels_of_nothing_are_refused():
    with pytest.raises(ValueError, match="expected at least one valid action in a batch, got none"):
        labels_of(0.0, [1.0], [False])


def test_labels_of_another_shape_are_refused():
    labels = labels_of(0.0, [1.0, 1.0], [True, True])
    with pytest.raises(ValueError, match=r"expected labels of the chunks' shape \(1, 2, 2\), got \(1, 1, 2\)"):
        chunk_loss(torch.zeros(1, 2, 2, 7), labels)


@pytest.mark.recorded
def test_it_is_the_loss_of_robovlms(recordings):
    recorded = np.load(recordings / "robovlms-kosmos-tiny" / "kosmos_tiny_io.npz")
    arrays = {name: torch.from_numpy(recorded[name]) for name in recorded.files if recorded[name].dtype.kind == "f"}
    chunks = torch.cat([arrays["train_hand/pred_arm"], arrays["train_hand/pred_gripper_logit"]], dim=-1)
    actions = arrays["in/action_chunck"]
    labels = ChunkLabels(actions[..., :6], 2 * actions[..., 6] - 1, arrays["in/chunck_mask"].bool())
    loss = chunk_loss(chunks, labels)
    assert loss.pose.item() == pytest.approx(arrays["train_hand/loss_arm_act"].item(), abs=1e-6)
    assert loss.gripper.item() == pytest.approx(arrays["train_hand/loss_gripper_act"].item(), abs=1e-6)
    assert loss.total.item() == pytest.approx(arrays["train_hand/loss"].item(), abs=1e-6)
    assert loss.gripper_accuracy.item() == pytest.approx(arrays["train_hand/acc_gripper_act"].item(), abs=1e-6)
