"""The fake replays its list."""

import numpy as np
import pytest

from calvinbench.envs.observation import ActionConvention, Observation
from calvinbench.policies.baselines.fake import FakePolicy
from calvinbench.policies.check import check_policy

OPEN, CLOSE = np.array([0.5, 0, 0, 0, 0, 0, 1.0]), np.array([0, 0, 0, 0, 0, 0, -1.0])


def test_it_keeps_to_the_interface():
    check_policy(FakePolicy(np.stack([OPEN, CLOSE, CLOSE])))


def test_actions_come_in_turn_and_from_the_first_again_after_the_last_or_a_reset():
    policy = FakePolicy(np.stack([OPEN, CLOSE]))
    state = policy.initial_state(2)
    grippers = []
    for step in range(4):
        if step == 1:
            state = policy.reset_state(state, np.array([True, False]))
        actions, state = policy.act(Observation(), ["a", "b"], state)
        grippers.append(actions[:, 6].tolist())
    assert grippers == [[1, 1], [1, -1], [-1, 1], [1, -1]]


def test_actions_that_do_not_fit_the_convention_are_refused():
    with pytest.raises(ValueError, match=r"shape \(at least 1, 8\) for 'abs_joints', got \(1, 7\)"):
        FakePolicy(OPEN[None], ActionConvention.ABS_JOINTS)


def test_another_number_of_worlds_is_refused():
    policy = FakePolicy(np.stack([OPEN, CLOSE]))
    with pytest.raises(ValueError, match=r"expected rows for 2 worlds, got shape \(1,\)"):
        policy.reset_state(policy.initial_state(2), np.array([True]))
    with pytest.raises(ValueError, match="expected a state for 2 worlds, got 1"):
        policy.act(Observation(), ["a", "b"], policy.initial_state(1))
