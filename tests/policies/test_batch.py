"""Data of different numbers of worlds raises an error and is not broadcast."""

import jaxtyping
import numpy as np
import pytest
import torch

from calvinbench.envs.observation import Observation
from calvinbench.policies.batch import require_batch, require_rows
from calvinbench.policies.registry import make_policy

KINDS = ("random", "expert", "untrained:kosmos2,hidden_dim=8")


def test_the_right_number_of_worlds_passes():
    require_batch("a state", 2, 2)
    require_rows(np.array([True, False]), 2)
    require_rows(torch.tensor([True, False]), 2)


def test_another_number_of_worlds_is_told_with_both_numbers():
    with pytest.raises(ValueError, match="expected a state for 2 worlds, got 1"):
        require_batch("a state", 1, 2)


@pytest.mark.parametrize(
    ("rows", "kind"),
    [(np.array([1, 0]), "int64"), (torch.tensor([1, 0]), "int64"), (np.array([1.0, 0.0]), "float64"), ([True], "list")],
)
def test_marks_that_are_not_boolean_are_refused(rows, kind):
    with pytest.raises(TypeError, match=f"expected rows as a boolean array, got {kind}"):
        require_rows(rows, 2)


@pytest.mark.parametrize("rows", [np.array([True]), np.array([[True, False]]), np.bool_(True), True])
def test_marks_of_a_wrong_shape_are_refused(rows):
    with pytest.raises(ValueError, match=r"expected rows for 2 worlds, got shape \("):
        require_rows(rows, 2)


@pytest.mark.parametrize("spec", KINDS)
def test_no_policy_stretches_one_mark_over_two_worlds_or_takes_numbers_for_marks(spec, monkeypatch):
    policy = make_policy(spec)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users run it
    with pytest.raises(TypeError, match="rows as a boolean array, got int64"):
        policy.reset_state(policy.initial_state(2), np.array([1, 0]))
    with pytest.raises(ValueError, match=r"expected rows for 2 worlds, got shape \(1,\)"):
        policy.reset_state(policy.initial_state(2), np.array([True]))


def test_a_policy_without_pictures_refuses_another_number_of_sentences():
    policy = make_policy("random")
    with pytest.raises(ValueError, match="expected a state for 2 worlds, got 1"):
        policy.act(Observation(), ["lift", "push"], policy.initial_state(1))
