"""A learned policy's settings survive JSON, and impossible settings raise an error."""

import json

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.policies.backbones.prompts.prompt import Layout
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.heads.config import HEAD_PRESETS
from calvinbench.policies.learned.policy_config import PolicyConfig
from calvinbench.policies.learned.pose_range import PoseRange
from calvinbench.policies.learned.trainable import TrainableParts
from calvinbench.policies.policy import Memory

CONFIG = PolicyConfig(
    "paligemma",
    BackboneSettings(layout=Layout.ROBOVLMS, cameras=("static",), readout="max-pooling", image_size=56),
    head=HEAD_PRESETS["robovlms"],
    memory=Memory("window:8", "chain"),
    chunk_rule="ensemble:0.5",
    pose_range=PoseRange(-0.65, 0.65),
    trainable=TrainableParts(lora_enable=True, lora_r=4),
    origin="trained here",
)


def test_settings_survive_json():
    assert PolicyConfig.from_json(json.loads(json.dumps(CONFIG.to_json()))) == CONFIG


def test_what_a_file_leaves_out_is_the_default():
    assert PolicyConfig.from_json({"backbone": "llava"}) == PolicyConfig("llava")
    assert PolicyConfig("llava").memory == Memory("unbounded", "subtask")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"bakbone": "llava"}, "Unknown setting of 'policy' 'bakbone'. Did you mean 'backbone'?"),
        ({"backbone": "llava", "memory": {"spam": "none"}}, "Unknown setting of 'memory' 'spam'. Did you mean 'span'?"),
        ({"backbone": "llava", "backbone_settings": {"layout": "sead"}}, "Unknown layout 'sead'. Did you mean 'seed'?"),
    ],
)
def test_unknown_names_get_a_guess(values, complaint):
    with pytest.raises(UnknownNameError) as caught:
        PolicyConfig.from_json(values)
    assert str(caught.value).startswith(complaint)


def test_values_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"range of the pose with low below high, got 1.0 and -1.0"):
        PoseRange(1.0, -1.0)
    with pytest.raises(ValueError, match="Unknown chunk rule 'last'"):
        PolicyConfig("llava", chunk_rule="last")
    with pytest.raises(ValueError, match="memory span 'none', 'unbounded' or 'window:N' with N > 0, got 'window:0'"):
        PolicyConfig.from_json({"backbone": "llava", "memory": {"span": "window:0"}})
