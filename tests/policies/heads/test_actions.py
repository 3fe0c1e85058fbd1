"""From a head's numbers to actions that a world takes."""

import pytest
import torch

from calvinbench.policies.heads.actions import executed_actions


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_pose_is_clipped_and_the_gripper_is_its_logits_sign(dtype):
    raw = torch.tensor([[0.0, 0.5, -0.5, 1.5, -1.5, 1.0, 0.25], [0.0] * 7, [0.0] * 6 + [-3.0]], dtype=dtype)
    actions = executed_actions(raw)
    assert actions.dtype == dtype
    assert actions[0].tolist() == [0.0, 0.5, -0.5, 1.0, -1.0, 1.0, 1.0]
    assert actions[1:, 6].tolist() == [-1.0, -1.0]


def test_numbers_of_64_bits_stay_as_they_are():
    raw = torch.tensor([0.1, 1 / 3, -0.7, 0.0, 0.0, 0.0, 1e-300], dtype=torch.float64)
    assert torch.equal(executed_actions(raw)[:6], raw[:6])
    assert executed_actions(raw)[6] == 1.0


def test_whole_chunks_are_taken_too():
    assert executed_actions(torch.full((2, 3, 4, 7), 9.0)).unique().tolist() == [1.0]


def test_what_is_not_a_number_stays_so():
    raw = torch.full((2, 7), torch.nan)
    raw[1] = 0.5
    actions = executed_actions(raw)
    assert actions[0].isnan().all()
    assert actions[1].tolist() == [0.5] * 6 + [1.0]
