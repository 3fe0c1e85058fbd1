import copy
import pickle

import pytest
import torch

from calvinbench.policies.backbones.weight_cache import WeightCache


class Counted:
    """A sum of a weight, and how often it was computed."""

    def __init__(self, kept):
        self.kept, self.num_made = kept, 0

    def sum_of(self, weight, key="a"):
        def make():
            self.num_made += 1
            return float(weight.sum())

        return self.kept.get(key, [weight], make)


@pytest.fixture
def counted():
    with torch.no_grad():
        yield Counted(WeightCache(most=2))


def test_a_result_is_computed_once(counted):
    weight = torch.ones(3)
    assert [counted.sum_of(weight) for _ in range(3)] == [3, 3, 3]
    assert counted.num_made == 1


def test_a_weight_that_is_written_to_or_moved_makes_it_anew(counted):
    weight = torch.nn.Parameter(torch.ones(3))
    assert counted.sum_of(weight) == 3
    weight.mul_(2)
    assert counted.sum_of(weight) == 6
    weight.data = torch.full((3,), 5.0)
    assert counted.sum_of(weight) == 15
    weight.data = weight.data.to(torch.bfloat16)
    assert counted.sum_of(weight) == 15
    assert counted.num_made == 4


def test_an_optimizer_s_step_makes_it_anew(counted):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=0.5, weight_decay=0.0)
    before = counted.sum_of(weight)
    weight.grad = torch.ones(3)
    optimizer.step()
    assert counted.sum_of(weight) == pytest.approx(before - 1.5)


def test_the_latest_are_kept(counted):
    weight = torch.ones(3)
    for key in ("a", "b", "a", "c", "a", "c"):
        counted.sum_of(weight, key)
    assert counted.num_made == 3
    counted.sum_of(weight, "b")
    assert counted.num_made == 4


def test_where_gradients_are_wanted_nothing_is_kept():
    counted, weight = Counted(WeightCache()), torch.ones(3)
    counted.sum_of(weight)
    with torch.no_grad():
        counted.sum_of(weight)
    counted.sum_of(weight)
    assert counted.num_made == 3


def test_of_weights_made_in_inference_mode_nothing_is_kept():
    counted = Counted(WeightCache())
    with torch.inference_mode():
        weight = torch.ones(3)
        counted.sum_of(weight)
        weight.mul_(2)
        assert counted.sum_of(weight) == 6


def test_another_precision_makes_it_anew(counted):
    weight = torch.ones(3)
    counted.sum_of(weight)
    with torch.autocast("cpu", torch.bfloat16):
        counted.sum_of(weight)
    assert counted.num_made == 2


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda kept: pickle.loads(pickle.dumps(kept))])
def test_a_copy_begins_with_nothing(counted, copied):
    weight = torch.ones(3)
    counted.sum_of(weight)
    counted.kept = copied(counted.kept)
    counted.sum_of(weight)
    assert counted.num_made == 2
