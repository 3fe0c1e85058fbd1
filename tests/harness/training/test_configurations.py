"""Trainings that ship: each is a call that can be made, and its policy exists, in small numbers."""

import re

import pytest

from calvinbench.envs.tasks import TASKS
from calvinbench.harness.training.call import make_call, read_configuration, shipped_configurations
from calvinbench.policies.backbones.names import SUPPORTED_MODELS
from calvinbench.policies.registry import make_policy
from calvinbench.policies.training.preparation import window_settings


def call_of(name):
    return make_call(read_configuration(name) | {"data": "somewhere", "out": "elsewhere"})


def test_each_of_the_seven_has_one():
    assert set(SUPPORTED_MODELS) <= set(shipped_configurations())


@pytest.mark.parametrize("name", SUPPORTED_MODELS)
def test_the_policy_of_a_full_configuration_exists_in_small_numbers_and_its_windows_fit_its_memory(name):
    call = call_of(name)
    assert call.settings.policy.startswith(f"untrained:{name},vlm=published,")
    small = re.sub("vlm=published,", "", call.settings.policy).replace("hidden_dim=1024", "hidden_dim=8")
    policy = make_policy(small.replace(",image_size=448", ""))
    cut = window_settings(call.settings, policy.config, policy.model.head.config.chunk_length)
    assert (cut.num_frames, cut.stride, cut.chunk_length, cut.from_start) == (16, 1, 10, False)
    assert (cut.static_shift, cut.gripper_shift, cut.same_shift_in_window) == (10, 4, True)
    assert (policy.config.pose_range.low, policy.config.pose_range.high) == (-0.65, 0.65)


def test_rates_and_frozen_parts_are_robovlms():
    calls = {name: call_of(name) for name in SUPPORTED_MODELS}
    rates = {name: call.settings.optimization.learning_rate for name, call in calls.items()}
    assert rates == dict.fromkeys(SUPPORTED_MODELS, 2e-5) | {"flamingo": 1e-4}
    assert calls["flamingo"].settings.optimization.weight_decay == 0.1
    flamingo = calls["flamingo"].settings.trainable
    assert (flamingo.freeze_backbone, flamingo.train_connector, flamingo.train_text_embedding) == (True, True, True)
    assert calls["llava"].settings.trainable.train_text_embedding is False
    assert calls["qwen-vl"].settings.trainable.train_vision is False
    batches = {name: call.settings.optimization.effective_batch_size for name, call in calls.items()}
    assert batches == dict.fromkeys(SUPPORTED_MODELS, 4)  # 4 x 1, or 1 x 4 for llava and qwen-vl


@pytest.mark.parametrize("name", sorted(set(shipped_configurations()) - set(SUPPORTED_MODELS)))
def test_a_small_configuration_trains_a_small_policy_on_the_memory_that_it_will_have(name):
    call = call_of(name)
    policy = make_policy(call.settings.policy.replace("vlm=published,", ""))
    assert sum(parameter.numel() for parameter in policy.model.parameters()) < 10e6
    cut = window_settings(call.settings, policy.config, policy.model.head.config.chunk_length)
    assert (cut.num_frames, cut.stride, cut.chunk_length, cut.same_shift_in_window) == (8, None, 6, True)
    assert policy.config.proprioception


def test_configurations_of_the_fixtures_are_of_all_the_fixtures_and_no_block():
    names = [name for name in shipped_configurations() if name.startswith("fixtures-")]
    fixtures = {task for task in TASKS if "block" not in task and "place" not in task and "push" not in task}
    assert names
    assert all(set(call_of(name).settings.tasks) == fixtures for name in names)
