"""`check_policy` finds what is wrong with a policy."""

import numpy as np
import pytest

from calvinbench.policies.check import PolicyCheckError, check_policy, made_up_observation
from calvinbench.policies.fake_policy import FakePolicy
from calvinbench.policies.policy import Decision, Memory, PolicyTraits

ACTIONS = np.linspace(-1.0, 1.0, 35).reshape(5, 7)
ACTIONS[:, 6] = 1.0


class Sound(FakePolicy):
    """Replays actions; the subclasses below break one thing each."""

    def __init__(self):
        super().__init__(ACTIONS, observation_keys=("robot_obs",))


class WrongGripper(Sound):
    def act(self, observations, instructions, state, privileged=None):
        actions, state = super().act(observations, instructions, state)
        return Decision(actions * 0.5, state)


class OneRow(Sound):
    def act(self, observations, instructions, state, privileged=None):
        actions, state = super().act(observations, instructions, state)
        return Decision(actions[:1], state)


class NotANumber(Sound):
    def act(self, observations, instructions, state, privileged=None):
        actions, state = super().act(observations, instructions, state)
        return Decision(actions * np.nan, state)


class HiddenMemory(Sound):
    calls = 0

    def act(self, observations, instructions, state, privileged=None):
        type(self).calls += 1
        actions, state = super().act(observations, instructions, state)
        actions[:, 0] = 0.001 * self.calls
        return Decision(actions, state)


class MixesRows(Sound):
    def act(self, observations, instructions, state, privileged=None):
        actions, state = super().act(observations, instructions, state)
        actions[:, 0] = observations.robot_obs[:, 0].mean()
        return Decision(actions, state)


class ForgetsNothing(Sound):
    def reset_state(self, state, rows):
        return state


class ForgetsEverything(Sound):
    def reset_state(self, state, rows):
        return (0,) * len(state)


class UnknownCamera(Sound):
    @property
    def traits(self):
        return PolicyTraits("fake", observation_keys=("rgb_head",), memory=Memory("unbounded"))


def test_a_sound_policy_passes():
    check_policy(Sound())


@pytest.mark.parametrize(
    ("policy_class", "complaint"),
    [
        (WrongGripper, r"gripper actions of exactly -1 or \+1, got \[0\.5\]"),
        (OneRow, r"float64 actions of shape \(3, 7\), got float64 of \(1, 7\)"),
        (NotANumber, "finite actions"),
        (HiddenMemory, "the same worlds and seeds a second time, but they differ"),
        (MixesRows, "world 0 alone as in a batch of 3, but they differ"),
        (ForgetsNothing, "reset rows and new worlds, but they differ"),
        (ForgetsEverything, "rows that were not reset, but they differ"),
        (UnknownCamera, r"observation keys among .*, got \['rgb_head'\]"),
    ],
)
def test_each_fault_is_found_and_named(policy_class, complaint):
    with pytest.raises(PolicyCheckError, match=complaint):
        check_policy(policy_class())


def test_a_state_that_is_changed_in_place_is_found_unless_allowed():
    class InPlace(Sound):
        def initial_state(self, batch_size, seeds=None):
            return [0] * batch_size

        def reset_state(self, state, rows):
            return [0 if forget else place for place, forget in zip(state, rows, strict=True)]

        def act(self, observations, instructions, state, privileged=None):
            decision = super().act(observations, instructions, tuple(state))
            state[:] = decision.state
            return Decision(decision.actions, state)

    with pytest.raises(PolicyCheckError, match="one state used twice"):
        check_policy(InPlace())
    check_policy(InPlace(), state_is_value=False)


def test_something_else_is_no_policy():
    with pytest.raises(PolicyCheckError, match="object lacks some of them"):
        check_policy(object())


def test_made_up_observations_have_native_sizes():
    observation = made_up_observation(np.random.default_rng(0))
    assert observation["rgb_static"].shape == (200, 200, 3)
    assert observation["rgb_gripper"].shape == (84, 84, 3)
    assert observation["depth_gripper"].shape == (84, 84)
    assert observation["robot_obs"].shape == (15,)
