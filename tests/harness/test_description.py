"""Whether a run keeps to CALVIN's protocol."""

import pytest

from calvinbench.envs.calvin_scene import ASSET_DIGESTS
from calvinbench.harness.description import judge_official
from calvinbench.policies.policy import PolicyTraits

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
