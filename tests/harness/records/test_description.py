"""Whether a run keeps to CALVIN's protocol, and to the world that its policy was trained on."""

from dataclasses import replace

import pytest

from calvinbench.envs.scenes.calvin_scene import ASSET_DIGESTS
from calvinbench.harness.records.description import (
    Difference,
    RunDescription,
    differences,
    judge_official,
    unlike_training,
)
from calvinbench.policies.policy import PolicyTraits, TrainedOn

OFFICIAL = {
    "scene": "D",
    "asset_digest": ASSET_DIGESTS["D"],
    "is_published_list": True,
    "num_chains": 1000,
    "max_steps": 360,
    "instructions": "calvin",
    "renderer": "opengl-look",
    "camera_sizes": {},
}


def test_a_run_that_keeps_to_the_protocol_is_official():
    assert str(judge_official(PolicyTraits(label="mine"), **OFFICIAL)) == "yes"


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("scene", "A", "the scene is A, not D"),
        ("asset_digest", "0" * 64, "the scene's files are not those of calvin_env 797142c"),
        ("num_chains", 999, "999 chains, not the published 1000"),
        ("max_steps", 359, "359 steps a subtask, not 360"),
        ("instructions", "calvin-training", "the sentences are calvin-training's, not CALVIN's"),
        ("renderer", "bullet-tiny", "the renderer bullet-tiny does not have CALVIN's look"),
        ("camera_sizes", {"gripper": 224}, "the gripper camera has 224 pixels, not 84"),
    ],
)
def test_each_departure_is_told(setting, value, reason):
    assert judge_official(PolicyTraits(label="mine"), **OFFICIAL | {setting: value}).because == (reason,)


@pytest.mark.parametrize(
    ("trained_on", "scene", "is_like"),
    [
        ("ABCD", "D", True),
        ("D", "D", True),
        ("ABC", "D", False),
        ("embedded", "embedded", True),
        ("embedded", "D", False),
    ],
)
def test_a_scene_is_like_training_where_it_is_among_those_trained_on(trained_on, scene, is_like):
    said = unlike_training(
        TrainedOn(scene=trained_on),
        scene=scene,
        asset_digest="0",
        renderer="opengl-look",
        depth_bits=16,
        reference_frame=None,
    )
    assert said == (() if is_like else (f"scene {trained_on} in training, {scene} here",))


def test_digests_are_shown_by_their_first_digits():
    said = str(Difference("source_digest", "0123456789abcdef" * 4, "f" * 64))
    assert said.startswith("source_digest was '0123456789ab...' and is now 'ffffffffffff...' (the file")
    assert str(Difference("scene", "A", "D")) == "scene was 'A' and is now 'D'"
    assert str(Difference("policy", "f" * 63, None)) == f"policy was '{'f' * 63}' and is now None"


OLD = {
    "schema_version": 1,
    "policy": "random",
    "label": "x",
    "action_convention": "rel_actions",
    "observation_keys": ["rgb_static", "robot_obs"],
    "chunk_length": 1,
    "chunk_rule": "first",
    "privileged": False,
    "memory": {"span": "none", "reset": "subtask"},
    "official": {"official": False, "because": ["x"]},
    "world": "w",
    "scene": "embedded",
    "asset_digest": "0",
    "renderer": "none",
    "chains": 1,
    "chain_digest": "0",
    "max_steps": 1,
    "instructions": "calvinbench",
    "instruction_digest": "0",
    "seed": 0,
    "sessions": [],
}


@pytest.mark.parametrize(
    ("policy", "keys", "may_read"),
    [
        ("calvin:mine:Model", ["rgb_static", "robot_obs"], ("robot_obs",)),
        ("ws://host:1", ["rgb_static", "robot_obs"], ("robot_obs",)),
        ("ws://host:1", ["rgb_static"], ()),
        ("checkpoint:cnn", ["rgb_static", "robot_obs"], ()),
    ],
)
def test_runs_of_earlier_versions_say_what_models_from_outside_may_have_read(policy, keys, may_read):
    old = RunDescription.from_json(OLD | {"policy": policy, "observation_keys": keys})
    assert old.may_read == may_read
    assert RunDescription.from_json(old.to_json() | {"may_read": []}).may_read == ()


def test_a_run_of_an_earlier_version_is_resumed_by_one_that_declares_what_is_read():
    old = RunDescription.from_json(OLD | {"policy": "calvin:mine:Model"})
    assert differences(old, replace(old, may_read=())) == ()


def test_a_control_of_an_earlier_version_is_resumed_although_its_label_changed():
    old = RunDescription.from_json(OLD | {"label": "cnn (2.2M), blind, deaf"})
    new = replace(old, label="cnn (2.2M), with blank images, without the instruction")
    assert differences(old, new) == ()
    assert differences(old, replace(old, label="cnn (2.2M), with blank images")) != ()


def test_a_label_does_not_hide_that_a_policy_is_untrained():
    assert RunDescription.from_json(OLD | {"policy": "untrained:cnn,label=x"}).is_untrained
