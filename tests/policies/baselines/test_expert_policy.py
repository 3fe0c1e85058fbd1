"""The adapter gives each world an expert of its own, and the truth to it."""

import numpy as np
import pytest

from calvinbench.envs.observation import Observation
from calvinbench.policies.baselines.expert import ExpertPolicy
from calvinbench.policies.check import check_policy
from calvinbench.policies.check_scenes import made_up_truth
from calvinbench.policies.registry import make_policy


class CountingExpert:
    """Says in its first number how often it acted."""

    def __init__(self):
        self.num_acts = 0

    def act(self, state):
        self.num_acts += 1
        return np.array([self.num_acts / 100, state.target_position[2], 0.0, 0.0, 0.0, 0.0, 1.0])


@pytest.fixture
def truth():
    return made_up_truth("open_drawer")


def test_it_keeps_to_the_interface():
    check_policy(ExpertPolicy(CountingExpert), state_is_value=False)


def test_each_world_has_its_own_expert_and_a_reset_makes_a_new_one(truth):
    policy = ExpertPolicy(CountingExpert)
    state = policy.initial_state(2)
    for step in range(3):
        if step == 2:
            state = policy.reset_state(state, np.array([False, True]))
        actions, state = policy.act(Observation(), ["a", "b"], state, [truth, truth])
    assert actions[:, 0].tolist() == [0.03, 0.01]
    assert actions[:, 1].tolist() == [0.6, 0.6]


def test_it_declares_itself_privileged_and_reads_no_camera(truth):
    traits = ExpertPolicy(CountingExpert, memory_reset="chain").traits
    assert traits.privileged
    assert traits.cameras == ()
    assert traits.memory.reset == "chain"


@pytest.mark.parametrize("given", [None, []])
def test_without_the_truth_it_refuses(given):
    policy = ExpertPolicy(CountingExpert)
    with pytest.raises(ValueError, match="one PrivilegedState for each of 1 worlds"):
        policy.act(Observation(), ["a"], policy.initial_state(1), given)


def test_the_real_expert_fits():
    check_policy(make_policy("expert"), state_is_value=False)
