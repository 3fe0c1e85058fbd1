"""Whether a run keeps to CALVIN's protocol, and to the world that its policy was trained on."""

import pytest

from calvinbench.envs.calvin_scene import ASSET_DIGESTS
from calvinbench.harness.description import judge_official, unlike_training
from calvinbench.policies.policy import PolicyTraits, TrainedOn

OFFICIAL = {
    "scene": "D",
    "asset_digest": ASSET_DIGESTS["D"],
    "is_published_list": True,
    "num_chains": 1000,
    "max_steps": 360,
    "instructions": "calvin",
    "renderer": "opengl-look",
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
