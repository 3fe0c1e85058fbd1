"""Random actions: within bounds, and the same for the same seed whatever else runs."""

import numpy as np

from calvinbench.envs.observation import Observation
from calvinbench.policies.baselines.random import RandomPolicy
from calvinbench.policies.check import check_policy


def actions_of(seeds, num_steps):
    policy = RandomPolicy()
    state = policy.initial_state(len(seeds), seeds)
    actions = []
    for _ in range(num_steps):
        action, state = policy.act(Observation(), ["lift"] * len(seeds), state)
        actions.append(action)
    return np.stack(actions)  # (T, B, 7)


def test_it_keeps_to_the_interface():
    check_policy(RandomPolicy())


def test_pose_is_uniform_within_one_and_the_gripper_opens_half_the_time():
    actions = actions_of(seeds=[0], num_steps=4000)[:, 0]
    pose, gripper = actions[:, :6], actions[:, 6]
    assert np.abs(pose).max() <= 1.0
    np.testing.assert_allclose(pose.mean(axis=0), 0.0, atol=0.04)  # four standard errors of sqrt(1/3/4000) = 0.009
    np.testing.assert_allclose(pose.std(axis=0), 3**-0.5, atol=0.02)
    assert set(gripper) == {-1.0, 1.0}
    assert abs((gripper == 1.0).mean() - 0.5) < 0.04


def test_a_seed_gives_the_same_actions_alone_and_in_any_batch():
    batch, alone = actions_of([3, 7, 11], 5), actions_of([7], 5)
    assert (batch[:, 1] == alone[:, 0]).all()
    assert (batch[:, 0] != batch[:, 1]).any()


def test_a_state_can_be_used_twice_and_a_reset_does_not_restart_the_stream():
    policy = RandomPolicy()
    state = policy.initial_state(1, [0])
    first, after = policy.act(Observation(), ["lift"], state)
    again, _ = policy.act(Observation(), ["lift"], state)
    assert (first == again).all()
    second, _ = policy.act(Observation(), ["lift"], policy.reset_state(after, np.array([True])))
    assert (first != second).any()
