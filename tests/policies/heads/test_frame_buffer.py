"""The buffer of the last frames: left-aligned, oldest first, each row of its own length."""

import pytest
import torch

from calvinbench.policies.heads.frame_buffer import FrameBuffer


def empty(batch_size: int = 2, num_frames: int = 3) -> FrameBuffer:
    return FrameBuffer.empty(batch_size, num_frames, torch.zeros(1), feature_dim=1)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None]


def test_frames_stand_from_the_left_and_the_oldest_drops_out():
    buffer = empty()
    seen = []
    for number in (1.0, 2.0, 3.0, 4.0, 5.0):
        buffer = buffer.append(column(number, -number))
        seen.append(buffer.frames[0, :, 0].tolist())
    assert seen == [[1, 0, 0], [1, 2, 0], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    assert buffer.frames[1, :, 0].tolist() == [-3, -4, -5]
    assert buffer.lengths.tolist() == [3, 3]


def test_rows_that_forgot_begin_at_the_left_again():
    buffer = empty().append(column(1, 10)).append(column(2, 20)).append(column(3, 30))
    forgot = buffer.forget(torch.tensor([True, False]))
    assert forgot.lengths.tolist() == [0, 3]
    assert not forgot.frames[0].any()
    mixed = forgot.append(column(4, 40))
    assert mixed.frames[:, :, 0].tolist() == [[4, 0, 0], [20, 30, 40]]
    assert mixed.lengths.tolist() == [1, 3]
    assert mixed.newest(mixed.frames)[:, 0].tolist() == [4, 40]
    assert mixed.longest == 3
    assert buffer.frames[0, :, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("num_new", [1, 2, 3, 4, 5])
def test_many_frames_at_once_are_as_one_after_the_other(num_new):
    start = empty().append(column(1, 10)).forget(torch.tensor([True, False])).append(column(2, 20))
    new = torch.arange(1.0, 2 * num_new + 1).reshape(2, num_new, 1)
    one_by_one = start
    for frame in new.unbind(1):
        one_by_one = one_by_one.append(frame)
    at_once = start.extend(new)
    assert torch.equal(at_once.frames, one_by_one.frames)
    assert torch.equal(at_once.lengths, one_by_one.lengths)


def test_it_takes_the_features_kind_of_float():
    buffer = empty().append(column(1, 2).to(torch.bfloat16))
    assert buffer.frames.dtype == torch.bfloat16
    part = empty(1).append(column(7).double())
    whole = buffer.put(torch.tensor([False, True]), part)
    assert whole.frames.dtype == torch.float64
    assert whole.frames[:, 0, 0].tolist() == [1, 7]
    assert buffer.frames[1, 0, 0] == 2


def test_features_of_another_number_of_worlds_are_refused():
    with pytest.raises(ValueError, match="expected a state for 1 worlds, got 2"):
        empty().append(column(1))
