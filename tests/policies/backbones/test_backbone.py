"""What all backbones share: images prepared as the model wants them, sentences composed once, bad input refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from calvinbench.policies.backbones.images.normalisation import CLIP_MEAN, CLIP_STD
from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.kosmos2 import Kosmos2Backbone
from calvinbench.policies.backbones.llava import LlavaBackbone
from calvinbench.policies.backbones.prompts.prompt import Kind, Layout
from calvinbench.policies.backbones.settings import BackboneSettings, layout_by_name


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


def test_images_are_resized_as_pil_does_then_normalised(backbone):
    image = noise(1, 84, 84, 3)
    resized = np.asarray(Image.fromarray(image[0].numpy()).resize((112, 112), Image.Resampling.BICUBIC))
    expected = (resized.astype(np.float32) / 255 - np.float32(CLIP_MEAN)) / np.float32(CLIP_STD)
    np.testing.assert_allclose(backbone.preprocess(image)[0].movedim(0, -1).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("instruction", ["", "   "])
def test_an_empty_instruction_is_refused(backbone, instruction):
    with pytest.raises(ValueError, match="such as 'open the drawer', got an empty one"):
        backbone.prompt(instruction)


def test_one_instruction_is_needed_for_each_frame(backbone):
    images = CameraImages(noise(2, 200, 200, 3), noise(2, 84, 84, 3))
    with pytest.raises(ValueError, match="one instruction for each of 2 frames, got 1"):
        backbone(images, ["open the drawer"], torch.zeros(backbone.width))


def test_a_missing_camera_is_refused(backbone):
    with pytest.raises(ValueError, match="got none of 'gripper'"):
        backbone(CameraImages(noise(1, 200, 200, 3)), ["open the drawer"], torch.zeros(backbone.width))


def test_a_sentence_is_composed_once(monkeypatch):
    backbone = Kosmos2Backbone.tiny(torch.Generator().manual_seed(0))
    composed = []
    compose = backbone.compose
    monkeypatch.setattr(backbone, "compose", lambda sentence: composed.append(sentence) or compose(sentence))
    first = backbone.prompt("open the drawer")
    assert backbone.prompt("open the drawer") == first
    backbone.prompt("close the drawer")
    assert composed == ["open the drawer", "close the drawer"]


def test_names_of_special_tokens_in_a_sentence_are_letters(backbone):
    image_id = backbone.special_id("<image>")
    assert backbone.words("<image>", special=True).ids == (image_id,)
    assert image_id not in backbone.prompt("find <image> and </s>").ids
    assert backbone.eos_id not in backbone.prompt("find <image> and </s>").ids[:8]


def test_a_tokenizer_of_another_model_is_told(backbone):
    with pytest.raises(ValueError, match="a tokenizer of kosmos2 with the token '<nonsense>', got one without it"):
        backbone.special_id("<nonsense>")


def test_pooling_reads_the_largest_of_each_number_over_all_tokens_without_lrn():
    settings = BackboneSettings(readout="max-pooling")
    backbone = Kosmos2Backbone.tiny(torch.Generator().manual_seed(0), settings).eval()
    assert Kind.LRN not in backbone.prompt("open the drawer").kinds
    seen = []
    backbone.model.register_forward_hook(lambda module, given, output: seen.append(output.last_hidden_state))
    images = CameraImages(noise(1, 84, 84, 3), noise(1, 84, 84, 3))
    with torch.no_grad():
        feature = backbone(images, ["open the drawer"], torch.zeros(backbone.width))
    torch.testing.assert_close(feature, seen[0].amax(dim=1))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"cameras": ("gripper",)}, r"expected cameras \('static', 'gripper'\) or \('static',\), got \('gripper',\)"),
        ({"cameras": ("static", "wrist")}, "Unknown camera 'wrist'"),
        ({"readout": "mean"}, "Unknown read-out 'mean'"),
        ({"image_size": 0}, "expected an image_size of at least 1, got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        BackboneSettings(**wrong)


def test_layouts_go_by_name():
    assert layout_by_name("native") is Layout.NATIVE
    with pytest.raises(ValueError, match=r"Unknown layout 'nativ'\. Did you mean 'native'"):
        layout_by_name("nativ")


def test_a_change_of_precision_leaves_rotary_frequencies_exact():
    backbone = LlavaBackbone.tiny(torch.Generator().manual_seed(0))
    exact = {key: buffer.clone() for key, buffer in backbone.named_buffers() if key.endswith("inv_freq")}
    backbone.cast(torch.bfloat16)
    assert exact
    assert all(torch.equal(buffer, exact[key]) for key, buffer in backbone.named_buffers() if key in exact)
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.bfloat16}


def test_weights_come_from_the_generator_and_leave_the_global_stream_alone():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, again, other = (Kosmos2Backbone.tiny(torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [next(model.parameters()) for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
