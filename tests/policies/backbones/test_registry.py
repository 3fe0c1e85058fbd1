"""Backbones by name."""

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.policies.backbones.registry import BACKBONES, SUPPORTED_MODELS, backbone_class


def test_the_seeds_seven_and_two_more_are_found_by_name():
    assert SUPPORTED_MODELS == ("kosmos2", "paligemma", "llava", "qwen-vl", "uform", "moondream", "flamingo")
    assert tuple(BACKBONES) == (*SUPPORTED_MODELS, "minilm-effnet", "cnn")
    assert all(backbone_class(name).name == name for name in BACKBONES)


@pytest.mark.parametrize("name", ["hf", "hf:HuggingFaceTB/SmolVLM-256M-Instruct"])
def test_any_vlm_of_the_hub_has_one_class(name):
    assert backbone_class(name).name == "hf"


def test_another_name_gets_a_guess():
    with pytest.raises(UnknownNameError, match=r"Unknown backbone 'kosmos-2'. Did you mean 'kosmos2'"):
        backbone_class("kosmos-2")


@pytest.mark.parametrize("name", list(BACKBONES))
def test_each_says_honestly_what_it_is(name):
    kind = backbone_class(name)
    assert kind.model_name
    assert kind.__module__.startswith("calvinbench.policies.backbones.")
    assert kind.unchecked or name in ("minilm-effnet", "cnn")
