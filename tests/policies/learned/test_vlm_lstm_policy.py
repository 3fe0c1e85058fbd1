"""The learned policy from the harness's side."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from calvinbench.envs.observation import Observation
from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.kosmos2 import Kosmos2Backbone
from calvinbench.policies.check import check_policy, made_up_observation
from calvinbench.policies.heads.config import HeadConfig
from calvinbench.policies.learned.policy_config import PolicyConfig
from calvinbench.policies.learned.pose_range import PoseRange
from calvinbench.policies.learned.sizes import size_in_words
from calvinbench.policies.learned.vlm_lstm import VLMLSTM
from calvinbench.policies.learned.vlm_lstm_policy import VLMLSTMPolicy
from calvinbench.policies.looking import NotRenderedError
from calvinbench.policies.policy import Memory
from support.model_step import model_step

SENTENCE = "open the drawer"
HEAD = HeadConfig(hidden_dim=32, chunk_length=4)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return VLMLSTM(Kosmos2Backbone.tiny(torch.Generator().manual_seed(0)), HEAD).eval()


def policy_of(model, **changes):
    return VLMLSTMPolicy(model, replace(PolicyConfig("kosmos2", head=HEAD), **changes))


def observations(batch_size, seed=0):
    generator = np.random.default_rng(seed)
    worlds = [made_up_observation(generator) for _ in range(batch_size)]
    return Observation.stack(worlds, ("rgb_static", "rgb_gripper"))


def pictures_of(seen):
    return CameraImages(torch.tensor(seen.rgb_static), torch.tensor(seen.rgb_gripper))


@pytest.mark.parametrize("span", ["unbounded", "window:2"])
@pytest.mark.parametrize("rule", ["first", "first:3", "ensemble:0.1"])
def test_it_keeps_to_the_interface_with_every_memory_and_rule(model, span, rule):
    policy = policy_of(model, memory=Memory(span), chunk_rule=rule)
    check_policy(policy, batch_sizes=(1, 3))
    assert (policy.traits.memory.span, policy.traits.chunk_rule, policy.traits.chunk_length) == (span, rule, 4)


def test_its_label_says_its_real_size_and_origin(model):
    label = policy_of(model, origin="trained here").traits.label
    assert label == f"kosmos2 ({model.num_parameters / 1e6:.1f}M, trained here)"
    assert size_in_words(2_910_000_000) == "2.9B"


def test_actions_follow_pictures_instruction_and_past(model):
    policy = policy_of(model)
    state = policy.initial_state(1)
    first, after = policy.act(observations(1), [SENTENCE], state)
    variants = {
        "pictures": policy.act(observations(1, seed=9), [SENTENCE], state).actions,
        "instruction": policy.act(observations(1), ["push the red block to the left"], state).actions,
        "past": policy.act(observations(1), [SENTENCE], after).actions,
    }
    for name, actions in variants.items():
        assert np.abs(actions - first)[0, :6].max() > 1e-4, name


@torch.inference_mode()
def test_the_first_action_of_the_chunk_is_executed_in_the_poses_range(model):
    seen = observations(2)
    chunks = model_step(model, pictures_of(seen), [SENTENCE] * 2).chunks.double().numpy()
    for low, high in ((-1.0, 1.0), (-0.65, 0.65), (-0.2, 0.6)):
        policy = policy_of(model, pose_range=PoseRange(low, high))
        actions, _ = policy.act(seen, [SENTENCE] * 2, policy.initial_state(2))
        np.testing.assert_allclose(actions[:, :6], low + (chunks[:, 0, :6] + 1) / 2 * (high - low), atol=1e-6)
        assert (actions[:, 6] == np.where(chunks[:, 0, 6] > 0, 1.0, -1.0)).all()


def count_passes(model, monkeypatch):
    rows = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda *seen: rows.append(len(seen[1])) or encode(*seen))
    return rows


def test_a_window_counts_exactly_the_last_frames_and_each_passes_the_vlm_once(model, monkeypatch):
    policy = policy_of(model, memory=Memory("window:3"))
    frames = [observations(2, seed=seed) for seed in range(6)]
    rows = count_passes(model, monkeypatch)
    state, actions = policy.initial_state(2), []
    for seen in frames:
        action, state = policy.act(seen, [SENTENCE] * 2, state)
        actions.append(action)
    assert rows == [2] * 6
    for time in range(6):
        state = policy.initial_state(2)
        for seen in frames[max(time - 2, 0) : time + 1]:
            fresh, state = policy.act(seen, [SENTENCE] * 2, state)
        np.testing.assert_array_equal(actions[time], fresh)
    unbounded = policy_of(model)
    state = unbounded.initial_state(2)
    for seen in frames:
        other, state = unbounded.act(seen, [SENTENCE] * 2, state)
    assert np.abs(other - actions[-1])[:, :6].max() > 1e-5


def test_only_rows_that_need_a_prediction_pass_the_vlm(model, monkeypatch):
    policy = policy_of(model, chunk_rule="first:3")
    rows = count_passes(model, monkeypatch)
    state = policy.initial_state(2)
    for step in range(5):
        if step == 1:
            state = policy.reset_state(state, np.array([False, True]))
        _, state = policy.act(observations(2, seed=step), [SENTENCE] * 2, state)
    assert rows == [2, 1, 1, 1]  # steps 0; 1 (the row that forgot); none at 2; 3; 4


def test_one_camera_is_enough_where_the_settings_say_so():
    config = PolicyConfig("kosmos2", head=HEAD)
    config = replace(config, backbone_settings=replace(config.backbone_settings, cameras=("static",)))
    backbone = Kosmos2Backbone.tiny(torch.Generator().manual_seed(0), config.backbone_settings)
    policy = VLMLSTMPolicy(VLMLSTM(backbone, HEAD), config)
    assert policy.traits.cameras == ("static",)
    check_policy(policy, batch_sizes=(2,))


def test_the_robots_state_moves_actions_where_the_head_is_told_of_it():
    torch.manual_seed(0)
    backbone = Kosmos2Backbone.tiny(torch.Generator().manual_seed(0))
    policy = policy_of(VLMLSTM(backbone, HEAD, proprioception=True), proprioception=True)
    assert policy.traits.observation_keys == ("rgb_static", "rgb_gripper", "robot_obs")
    check_policy(policy, batch_sizes=(1, 3))
    seen, start = replace(observations(2), robot_obs=np.zeros((2, 15))), policy.initial_state(2)
    moved = replace(seen, robot_obs=np.eye(2, 15))  # of the first row, one number
    first, other = (policy.act(given, [SENTENCE] * 2, start).actions for given in (seen, moved))
    assert np.abs(first - other).max(axis=1)[0] > 1e-4
    with pytest.raises(ValueError, match=r"got none of \['robot_obs'\]"):
        policy.act(observations(2), [SENTENCE] * 2, start)


def test_what_cannot_be_used_is_refused_in_words(model):
    policy = policy_of(model)
    state = policy.initial_state(1)
    with pytest.raises(ValueError, match=r"with 'rgb_static' and 'rgb_gripper', got none of \['rgb_gripper'\]"):
        policy.act(Observation(rgb_static=observations(1).rgb_static), [SENTENCE], state)
    with pytest.raises(ValueError, match="got an empty one"):
        policy.act(observations(1), [" "], state)
    with pytest.raises(ValueError, match="expected a state for 2 worlds, got 1"):
        policy.act(observations(2), [SENTENCE] * 2, state)
    with pytest.raises(ValueError, match="one instruction for each of 2 frames, got 1"):
        policy.act(observations(2), [SENTENCE], policy.initial_state(2))
    with pytest.raises(ValueError, match="executes at most the 4 actions of a chunk, got 'first:5'"):
        policy_of(model, chunk_rule="first:5")
    with pytest.raises(ValueError, match=r"expected memory span 'unbounded' or 'window:N' .*, got 'none'"):
        policy_of(model, memory=Memory("none"))


@pytest.mark.parametrize(("rule", "looked_at"), [("first", 6), ("first:3", 2), ("ensemble", 6)])
def test_images_of_steps_without_a_prediction_may_be_missing(model, rule, looked_at):
    policy = policy_of(model, chunk_rule=rule)
    states = [policy.initial_state(2)] * 2
    looks, num_looks = np.ones(2, dtype=bool), 0
    for step in range(6):
        seen = observations(2, seed=step)
        with_all, states[0] = policy.act(seen, [SENTENCE] * 2, states[0])
        with_some, states[1] = policy.act(seen.with_images_of(looks), [SENTENCE] * 2, states[1])
        np.testing.assert_array_equal(with_some, with_all)
        num_looks += looks[0]
        looks = policy.looks_next(states[1])
        assert looks.tolist() == [looks[0]] * 2
    assert num_looks == looked_at


def test_images_that_it_needs_must_be_there(model):
    policy = policy_of(model, chunk_rule="first:3")
    seen, state = observations(2), policy.initial_state(2)
    for rows, missing in (([False, False], [0, 1]), ([True, False], [1])):
        with pytest.raises(NotRenderedError, match=rf"expected the images of worlds {re.escape(str(missing))}, but"):
            policy.act(seen.with_images_of(np.array(rows)), [SENTENCE] * 2, state)
