"""`check_policy` finds what is wrong with a policy."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from calvinbench.envs.observation import ActionConvention
from calvinbench.policies.adapters.relabelled import relabelled
from calvinbench.policies.backbones.kosmos2 import Kosmos2Backbone
from calvinbench.policies.backbones.prompts.prompt import Kind
from calvinbench.policies.baselines.fake import FakePolicy
from calvinbench.policies.check import PolicyCheckError, check_policy, made_up_observation
from calvinbench.policies.check_scenes import made_up_scenes
from calvinbench.policies.policy import Decision, Memory, PolicyTraits
from calvinbench.policies.registry import make_policy

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


class TraitsOfAnotherKind(Sound):
    traits = "fake"


class ResetsInPlace(Sound):
    def initial_state(self, batch_size, seeds=None):
        return [0] * batch_size

    def reset_state(self, state, rows):
        state[:] = super().reset_state(tuple(state), rows)
        return state

    def act(self, observations, instructions, state, privileged=None):
        decision = super().act(observations, instructions, tuple(state))
        return Decision(decision.actions, list(decision.state))


class Sampling:
    """Noise about the sum of what it saw: a row of its state is that sum and a random stream."""

    traits = PolicyTraits("sampling", observation_keys=("robot_obs",), memory=Memory("unbounded"))

    def initial_state(self, batch_size, seeds=None):
        return tuple((0.0, np.random.default_rng(seed)) for seed in seeds)

    def reset_state(self, state, rows):
        return tuple((0.0 if forget else seen, stream) for (seen, stream), forget in zip(state, rows, strict=True))

    def act(self, observations, instructions, state, privileged=None):
        streams = [deepcopy(stream) for _, stream in state]
        sums = [seen + first for (seen, _), first in zip(state, observations.robot_obs[:, 0], strict=True)]
        actions = np.ones((len(state), 7))
        actions[:, 0] = [np.tanh(seen + stream.normal()) for seen, stream in zip(sums, streams, strict=True)]
        return Decision(actions, tuple(zip(sums, streams, strict=True)))


class SamplingForgetsNothing(Sampling):
    def reset_state(self, state, rows):
        return state


@pytest.mark.parametrize("policy_class", [Sound, Sampling])
def test_a_sound_policy_passes(policy_class):
    check_policy(policy_class())


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
        (SamplingForgetsNothing, "reset rows that saw something else before, but they differ"),
        (ResetsInPlace, "one state used twice, but they differ"),
        (TraitsOfAnotherKind, "traits as a PolicyTraits, got str"),
    ],
)
def test_each_fault_is_found_and_named(policy_class, complaint):
    with pytest.raises(PolicyCheckError, match=complaint):
        check_policy(policy_class())


@pytest.mark.parametrize(
    ("make", "complaint", "mend"),
    [
        (lambda good: good[0], r"of \(7,\). Return actions\[np.newaxis\]", lambda bad: bad[np.newaxis]),
        (lambda good: good.astype(np.float32), r"Return actions\.astype", lambda bad: bad.astype(np.float64)),
        (lambda good: good.astype(int), r"Return actions\.astype", lambda bad: bad.astype(np.float64)),
        (
            lambda good: torch.tensor(good, requires_grad=True),
            r"got Tensor on cpu. Return actions\.detach\(\)\.cpu\(\)\.double\(\)\.numpy\(\)",
            lambda bad: bad.detach().cpu().double().numpy(),
        ),
        (lambda good: good.tolist(), "got list. Return np.asarray", lambda bad: np.asarray(bad, dtype=np.float64)),
        (lambda good: np.stack([good] * 5, axis=1), r"Return one action .* actions\[:, 0\]", lambda bad: bad[:, 0]),
        (
            lambda good: good * [1, 1, 1, 1, 1, 1, 0.7],
            r"Threshold the last number .* np\.where\(number > 0\.5",
            lambda bad: np.hstack([bad[:, :6], np.where(bad[:, 6:] > 0.5, 1.0, -1.0)]),
        ),
    ],
)
def test_remedy_actions_of_another_form_become_sound_as_the_error_says(make, complaint, mend):
    class Other(Sound):
        def act(self, observations, instructions, state, privileged=None):
            actions, state = super().act(observations, instructions, state)
            return Decision(make(actions), state)

    class Mended(Other):
        def act(self, observations, instructions, state, privileged=None):
            actions, state = super().act(observations, instructions, state)
            return Decision(mend(actions), state)

    with pytest.raises(PolicyCheckError, match=complaint):
        check_policy(Other(), batch_sizes=(1,))
    check_policy(Mended(), batch_sizes=(1,))


def test_absolute_actions_may_have_a_quaternion():
    class Quaternion(Sound):
        traits = PolicyTraits("quaternion", action_convention=ActionConvention.ABS_ACTIONS)

        def act(self, observations, instructions, state, privileged=None):
            row = np.array([0.1, 0.1, 0.5, 0.0, 0.0, 0.0, 1.0, 1.0])
            return Decision(np.stack([row] * len(instructions)), state)

    check_policy(Quaternion())


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


def test_the_worlds_sentences_differ_in_length_and_tasks_lie_apart():
    backbone = Kosmos2Backbone.tiny(torch.Generator().manual_seed(0))
    first_three = [backbone.prompt(made_up_scenes(number)[0].instruction).kinds.count(Kind.TEXT) for number in range(3)]
    assert len(set(first_three)) == 3
    assert max(first_three) >= 2 * min(first_three)
    tasks = [made_up_scenes(number)[0].privileged.task for number in range(5)]
    assert len({task.split("_")[0] for task in tasks}) == 5


def test_padding_that_leaks_into_the_feature_is_found(monkeypatch):
    policy = make_policy("untrained:kosmos2,hidden_dim=32")
    kosmos = policy.model.backbone.model
    forward = kosmos.forward
    monkeypatch.setattr(kosmos, "forward", lambda **inputs: forward(**{**inputs, "attention_mask": None}))
    with pytest.raises(PolicyCheckError, match="world 0 alone as in a batch of 3, but they differ"):
        check_policy(policy)


def test_something_else_is_no_policy():
    with pytest.raises(PolicyCheckError, match="object lacks some of them"):
        check_policy(object())


def test_made_up_observations_have_native_sizes():
    observation = made_up_observation(np.random.default_rng(0))
    assert observation["rgb_static"].shape == (200, 200, 3)
    assert observation["rgb_gripper"].shape == (84, 84, 3)
    assert observation["depth_gripper"].shape == (84, 84)
    assert observation["robot_obs"].shape == (15,)


class Chunked(Sound):
    """Two actions for each image that it looks at. Each repeats a number of that image."""

    traits = PolicyTraits("chunked", observation_keys=("rgb_static", "depth_gripper"), memory=Memory("unbounded"))

    def initial_state(self, batch_size, seeds=None):
        return ((0, 0.0),) * batch_size

    def reset_state(self, state, rows):
        return tuple((0, 0.0) if forget else row for row, forget in zip(state, rows, strict=True))

    def act(self, observations, instructions, state, privileged=None):
        news = []
        for row, (left, seen) in enumerate(state):
            if left == 0:
                left, seen = 2, observations.rgb_static[row, 0, 0, 0] / 255 + observations.depth_gripper[row, 0, 0] / 9
            news.append((left - 1, float(seen)))
        actions = np.ones((len(state), 7))
        actions[:, 0] = [0.5 * seen for _, seen in news]
        return Decision(actions, tuple(news))

    def looks_next(self, state):
        return np.array([left == 0 for left, _ in state])


class NeverLooks(Chunked):
    def looks_next(self, state):
        return [False] * len(state)


class LooksAtOthers(Chunked):
    """In a batch it marks all worlds but the last."""

    def looks_next(self, state):
        return np.arange(len(state)) < max(1, len(state) - 1)


class WrongShape(Chunked):
    def looks_next(self, state):
        return np.ones((len(state), 1), dtype=bool)


class Numbers(Chunked):
    def looks_next(self, state):
        return np.ones(len(state))


def test_a_policy_that_says_which_images_it_looks_at_passes():
    check_policy(Chunked())
    check_policy(relabelled(Chunked(), "another name"))


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (NeverLooks, r"without the images that it does not look at, got TypeError in step 2: 'NoneType' .* looks_next"),
        (LooksAtOthers, r"same actions in step 2 without the images of worlds \[2\], but they differ by"),
        (WrongShape, r"looks_next to return one mark for each of 1 worlds, got shape \(1, 1\)"),
        (Numbers, "expected looks_next to return booleans, got ndarray of float64"),
    ],
)
def test_marks_that_are_wrong_are_found(policy, words):
    with pytest.raises(PolicyCheckError, match=words):
        check_policy(policy())
