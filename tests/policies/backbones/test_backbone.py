"""Pictures and instructions at the backbone's door: prepared as the model wants them, or refused in words."""

import numpy as np
import pytest
import torch
from PIL import Image

from calvinbench.envs.names import UnknownNameError
from calvinbench.policies.backbones.backbone import Pictures
from calvinbench.policies.backbones.kosmos2 import CLIP_MEAN, CLIP_STD, Kosmos2Backbone
from calvinbench.policies.backbones.registry import BACKBONES, backbone_class


@pytest.fixture(scope="module")
def backbone():
    return Kosmos2Backbone.tiny(torch.Generator().manual_seed(0)).eval()


def noise(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_white_and_black_become_what_mean_and_deviation_say(backbone):
    white = backbone.preprocess(torch.full((1, 200, 200, 3), 255, dtype=torch.uint8))
    black = backbone.preprocess(torch.zeros((1, 112, 112, 3), dtype=torch.uint8))
    assert white.shape == (1, 3, 112, 112)
    for channel, (mean, std) in enumerate(zip(CLIP_MEAN, CLIP_STD, strict=True)):
        torch.testing.assert_close(white[0, channel], torch.full((112, 112), (1 - mean) / std))
        torch.testing.assert_close(black[0, channel], torch.full((112, 112), -mean / std))


@pytest.mark.parametrize("size", [200, 84])
def test_resizing_agrees_with_pil_to_two_of_255_levels(backbone, size):
    smooth = Image.fromarray(noise(1, 12, 12, 3)[0].numpy()).resize((size, size), Image.Resampling.BICUBIC)
    expected = np.asarray(smooth.resize((112, 112), Image.Resampling.BICUBIC), dtype=np.float64)
    pixels = backbone.preprocess(torch.tensor(np.asarray(smooth))[None])[0].movedim(0, -1).double().numpy()
    levels = (pixels * np.array(CLIP_STD) + np.array(CLIP_MEAN)) * 255
    difference = np.abs(levels - expected)
    assert difference.max() < 2.01  # PIL rounds twice: between the two axes too
    assert difference.mean() < 0.25


def test_pictures_that_are_not_uint8_are_refused():
    with pytest.raises(TypeError, match=r"expected uint8 pictures \(0\.\.255\) of camera 'static', got torch.float32"):
        Pictures(torch.rand(1, 200, 200, 3), noise(1, 84, 84, 3))


@pytest.mark.parametrize("shape", [(1, 3, 84, 84), (84, 84, 3), (1, 84, 84, 4), (1, 0, 84, 3)])
def test_pictures_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(batch, height, width, 3\) of camera 'gripper'"):
        Pictures(noise(1, 200, 200, 3), noise(*shape))


def test_cameras_of_different_worlds_are_refused():
    with pytest.raises(ValueError, match=r"got leading axes \(2,\) \(static\) and \(1,\) \(gripper\)"):
        Pictures(noise(2, 200, 200, 3), noise(1, 84, 84, 3))


@pytest.mark.parametrize("instruction", ["", "   "])
def test_an_empty_instruction_is_refused(backbone, instruction):
    with pytest.raises(ValueError, match="such as 'open the drawer', got an empty one"):
        backbone.tokenize(instruction)


def test_one_instruction_is_needed_for_each_frame(backbone):
    pictures = Pictures(noise(2, 200, 200, 3), noise(2, 84, 84, 3))
    with pytest.raises(ValueError, match="one instruction for each of 2 frames, got 1"):
        backbone(pictures, ["open the drawer"], torch.zeros(backbone.width))


def test_a_sentence_is_encoded_once(monkeypatch):
    backbone = Kosmos2Backbone.tiny(torch.Generator().manual_seed(0))
    encoded = []
    encode = backbone.encode
    monkeypatch.setattr(backbone, "encode", lambda sentence: encoded.append(sentence) or encode(sentence))
    first = backbone.tokenize("open the drawer")
    assert backbone.tokenize("open the drawer") == first
    backbone.tokenize("close the drawer")
    assert encoded == ["open the drawer", "close the drawer"]


def test_backbones_are_found_by_name():
    assert {name: backbone_class(name).name for name in BACKBONES} == {"kosmos2": "kosmos2"}
    with pytest.raises(UnknownNameError, match="Did you mean 'kosmos2'"):
        backbone_class("kosmos-2")
