"""The learned policy from the harness's side."""

import numpy as np
import pytest
import torch

from calvinbench.envs.observation import Observation
from calvinbench.policies.check import check_policy, made_up_observation
from calvinbench.policies.registry import make_policy


@pytest.fixture(scope="module")
def policy():
    return make_policy("untrained:kosmos2")


def observations(batch_size, seed=0):
    generator = np.random.default_rng(seed)
    worlds = [made_up_observation(generator) for _ in range(batch_size)]
    return Observation.stack(worlds, ("rgb_static", "rgb_gripper"))


def test_it_keeps_to_the_interface(policy):
    check_policy(policy, batch_sizes=(1, 4))


def test_its_label_says_its_real_size_and_that_it_is_untrained(policy):
    num_parameters = sum(parameter.numel() for parameter in policy.model.parameters())
    assert policy.traits.label == f"kosmos2 ({num_parameters / 1e6:.1f}M, untrained)"
    assert 1e6 < num_parameters < 3e6


def test_its_traits_say_what_it_reads_and_remembers(policy):
    traits = policy.traits
    assert traits.cameras == ("static", "gripper")
    assert traits.observation_keys == ("rgb_static", "rgb_gripper")
    assert (traits.chunk_length, traits.chunk_rule) == (10, "first")
    assert (traits.memory.span, traits.memory.reset) == ("unbounded", "subtask")
    assert make_policy("untrained:kosmos2", memory_reset="chain").traits.memory.reset == "chain"


def test_actions_follow_pictures_instruction_and_past(policy):
    state = policy.initial_state(1)
    first, after = policy.act(observations(1), ["open the drawer"], state)
    variants = {
        "pictures": policy.act(observations(1, seed=9), ["open the drawer"], state).actions,
        "instruction": policy.act(observations(1), ["push the red block to the left"], state).actions,
        "past": policy.act(observations(1), ["open the drawer"], after).actions,
    }
    for name, actions in variants.items():
        assert np.abs(actions - first)[0, :6].max() > 1e-4, name


def test_the_first_action_of_the_chunk_is_executed(policy):
    seen = observations(2)
    actions, _ = policy.act(seen, ["open the drawer"] * 2, policy.initial_state(2))
    from calvinbench.policies.backbones.backbone import Pictures

    pictures = Pictures(torch.tensor(seen.rgb_static), torch.tensor(seen.rgb_gripper))
    with torch.inference_mode():
        chunks = policy.model.step(pictures, ["open the drawer"] * 2).chunks
    np.testing.assert_allclose(actions[:, :6], np.tanh(chunks[:, 0, :6].numpy()), atol=1e-6)
    assert (actions[:, 6] == np.where(chunks[:, 0, 6].numpy() > 0, 1.0, -1.0)).all()


def test_seed_and_width_are_settings():
    small, other = make_policy("untrained:kosmos2,hidden_dim=8"), make_policy("untrained:kosmos2,hidden_dim=8,seed=1")
    assert small.model.head.config.hidden_dim == 8
    assert small.traits.label.endswith("M, untrained)")
    assert other.traits.label.endswith("M, untrained, seed 1)")
    one, two = (p.act(observations(1), ["open the drawer"], p.initial_state(1)).actions for p in (small, other))
    assert np.abs(one - two).max() > 1e-3


def test_what_cannot_be_used_is_refused_in_words(policy):
    state = policy.initial_state(1)
    with pytest.raises(ValueError, match=r"got none of \['rgb_gripper'\]"):
        policy.act(Observation(rgb_static=observations(1).rgb_static), ["open the drawer"], state)
    with pytest.raises(ValueError, match="got an empty one"):
        policy.act(observations(1), [" "], state)
    with pytest.raises(ValueError, match="expected a state for 2 worlds, got 1"):
        policy.act(observations(2), ["open the drawer"] * 2, state)
    with pytest.raises(ValueError, match="one instruction for each of 2 frames, got 1"):
        policy.act(observations(2), ["open the drawer"], policy.initial_state(2))
