"""Which windows a step sees is a function of settings and step, however it is cut up."""

from itertools import islice

import pytest
import torch

from calvinbench.policies.training.data_loader import BatchPlan, _MicroBatches, make_loader, validation_batches
from support.small_training import make_training

NUM_WINDOWS = 15


@pytest.fixture(scope="module")
def windows(data, tmp_path_factory):
    return make_training(data, tmp_path_factory.mktemp("out")).windows


def keys(windows, plan, num_steps, first_step=0):
    """For each step, the windows of all micro-batches of all processes, in order."""
    each = [iter(_MicroBatches(windows, plan, first_step, process)) for process in range(plan.num_processes)]
    return [
        [key for _ in range(plan.accumulation_steps) for batches in each for key in next(batches)]
        for _ in range(num_steps)
    ]


def test_a_step_sees_the_same_windows_however_it_is_cut(windows):
    whole = keys(windows, BatchPlan(NUM_WINDOWS, 6), 5)
    for plan in (BatchPlan(NUM_WINDOWS, 2, 3), BatchPlan(NUM_WINDOWS, 3, 1, 2), BatchPlan(NUM_WINDOWS, 1, 2, 3)):
        assert plan.effective_batch_size == 6
        assert keys(windows, plan, 5) == whole


def test_an_epoch_sees_each_window_once_at_most_and_what_is_left_over_changes(windows):
    plan = BatchPlan(NUM_WINDOWS, 4)
    assert (len(windows), plan.steps_per_epoch) == (NUM_WINDOWS, 3)
    steps = keys(windows, plan, 30)
    missed = set()
    for epoch in range(10):
        seen = [(key.annotation, key.part) for step in steps[3 * epoch : 3 * epoch + 3] for key in step]
        assert {key.epoch for step in steps[3 * epoch : 3 * epoch + 3] for key in step} == {epoch}
        assert len(set(seen)) == 12
        missed |= {(key.annotation, key.part) for key in windows.order(0)} - set(seen)
    assert len(missed) > 6


def test_any_step_can_be_the_first(windows):
    plan = BatchPlan(NUM_WINDOWS, 2, 2)
    assert plan.steps_per_epoch == 3
    for first_step in (1, 3, 7):
        assert keys(windows, plan, 2, first_step) == keys(windows, plan, first_step + 2)[first_step:]


def test_more_windows_in_a_step_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"windows as a step takes, 4 x 2 x 2 = 16, got 15"):
        BatchPlan(NUM_WINDOWS, 4, 2, 2)


def test_reading_ahead_gives_the_same_batches(windows):
    plan = BatchPlan(NUM_WINDOWS, 4)
    alone, ahead = (list(islice(make_loader(windows, plan, first_step=2, num_workers=count), 2)) for count in (0, 1))
    for one, other in zip(alone, ahead, strict=True):
        assert one.instructions == other.instructions
        assert torch.equal(one.images.static, other.images.static)
        assert torch.equal(one.actions, other.actions)


def test_nothing_is_drawn_from_the_global_stream(windows):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    next(iter(make_loader(windows, BatchPlan(NUM_WINDOWS, 4))))
    assert torch.equal(torch.get_rng_state(), before)


def test_validation_takes_the_same_windows_each_time_and_no_more_than_asked(windows):
    sizes = [len(batch.instructions) for batch in validation_batches(windows, 4, 10)]
    assert sizes == [4, 4, 2]
    first, again = (list(validation_batches(windows, 4, 100)) for _ in range(2))
    assert [len(batch.instructions) for batch in first] == [4, 4, 4, 3]
    assert all(torch.equal(one.actions, other.actions) for one, other in zip(first, again, strict=True))
