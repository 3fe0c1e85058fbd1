from dataclasses import replace

import numpy as np

from calvinbench.envs.observation import Observation
from calvinbench.policies.baselines.deprived import NO_INSTRUCTION, DeprivedPolicy
from calvinbench.policies.check import check_policy, made_up_observation
from calvinbench.policies.factories.checkpoint_settings import CheckpointSettings
from calvinbench.policies.policy import Decision, PolicyTraits
from calvinbench.policies.registry import make_policy
from calvinbench.policies.spec_settings import read_settings, with_new_names


class Listener:
    """Keeps what it was given."""

    traits = PolicyTraits(label="listener", observation_keys=("rgb_static", "robot_obs"))

    def __init__(self):
        self.seen, self.given, self.expected = None, None, None

    def initial_state(self, batch_size, seeds=None):
        return batch_size

    def reset_state(self, state, rows):
        return state

    def put_state(self, state, rows, part):
        return state - int(rows.sum()) + part

    def expect(self, instructions):
        self.expected = instructions

    def act(self, observations, instructions, state, privileged=None):
        self.seen, self.given = observations, instructions
        return Decision(np.zeros((state, 7)), state)


def observe():
    return Observation.stack([made_up_observation(np.random.default_rng(0))], ("rgb_static", "robot_obs"))


def test_images_are_blank_and_all_else_is_given():
    inner, seen = Listener(), observe()
    DeprivedPolicy(inner, blank_images=True).act(seen, ["open the drawer"], 1)
    assert inner.seen.rgb_static.shape == seen.rgb_static.shape
    assert not inner.seen.rgb_static.any()
    np.testing.assert_array_equal(inner.seen.robot_obs, seen.robot_obs)
    assert inner.given == ["open the drawer"]
    assert seen.rgb_static.any()


def test_the_instruction_is_the_same_whatever_the_task():
    inner, seen = Listener(), observe()
    DeprivedPolicy(inner, no_instruction=True).act(seen, ["open the drawer"], 1)
    assert inner.given == [NO_INSTRUCTION]
    np.testing.assert_array_equal(inner.seen.rgb_static, seen.rgb_static)


def test_a_policy_expects_the_sentence_that_it_will_be_given():
    for settings, expected in (({"no_instruction": True}, [NO_INSTRUCTION]), ({"blank_images": True}, ["a", "b"])):
        inner = Listener()
        DeprivedPolicy(inner, **settings).expect(["a", "b"])
        assert inner.expected == expected


def test_new_worlds_begin_with_states_of_the_policys_own():
    policy = DeprivedPolicy(Listener(), blank_images=True)
    assert policy.put_state(policy.initial_state(3), np.array([True, False, True]), policy.initial_state(2)) == 3


def test_the_label_says_what_it_lacks_and_all_other_traits_are_the_policys():
    inner = Listener()
    traits = DeprivedPolicy(inner, blank_images=True, no_instruction=True).traits
    assert traits.label == "listener, with blank images, without the instruction"
    assert replace(traits, label="listener") == inner.traits


def test_the_old_names_of_the_settings_are_accepted(caplog):
    texts = with_new_names(CheckpointSettings, {"blind": "true", "deaf": "false"})
    assert read_settings(CheckpointSettings, texts, "checkpoint") == CheckpointSettings(blank_images=True)
    assert "'blind' of a policy spec is now called 'blank_images'" in caplog.text


def test_a_deprived_learned_policy_keeps_to_the_interface_and_acts_otherwise():
    policy = make_policy("untrained:cnn,hidden_dim=8,num_layers=1")
    deprived = DeprivedPolicy(policy, blank_images=True, no_instruction=True)
    check_policy(deprived)
    seen = Observation.stack([made_up_observation(np.random.default_rng(0))], policy.traits.observation_keys)
    actions = [each.act(seen, ["open the drawer"], each.initial_state(1)).actions for each in (policy, deprived)]
    assert np.abs(actions[0] - actions[1]).max() > 1e-4
