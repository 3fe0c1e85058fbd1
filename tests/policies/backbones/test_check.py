"""The conformance suite: every backbone in every layout passes, and each broken one is caught."""

import pytest
import torch

from calvinbench.policies.backbones.check import BackboneCheckError, check_backbone
from calvinbench.policies.backbones.kosmos2 import Kosmos2Backbone
from calvinbench.policies.backbones.llava import LlavaBackbone
from calvinbench.policies.backbones.prompts.prompt import Layout
from calvinbench.policies.backbones.registry import BACKBONES, backbone_class
from calvinbench.policies.backbones.settings import BackboneSettings

LAYOUTS = [(name, layout) for name in BACKBONES for layout in ("seed", "native", "robovlms")]
WITHOUT = {
    ("flamingo", "robovlms"),
    ("minilm-effnet", "native"),
    ("minilm-effnet", "robovlms"),
    ("cnn", "native"),
    ("cnn", "robovlms"),
    ("llava", "robovlms"),
    ("qwen-vl", "robovlms"),
}


def tiny(name, **settings):
    return backbone_class(name).tiny(torch.Generator().manual_seed(0), BackboneSettings(**settings))


@pytest.mark.parametrize(("name", "layout"), LAYOUTS)
def test_every_backbone_passes_in_every_layout_that_it_has(name, layout):
    backbone = tiny(name, layout=Layout(layout))
    if (name, layout) in WITHOUT:
        with pytest.raises(ValueError, match=f"expected another layout than '{layout}' for {name}"):
            backbone.prompt("open the drawer")
        return
    check_backbone(backbone)
    assert backbone.training


@pytest.mark.parametrize("name", list(BACKBONES))
def test_every_backbone_passes_with_the_static_camera_alone(name):
    check_backbone(tiny(name, cameras=("static",)))


@pytest.mark.parametrize("name", ["kosmos2", "uform"])
def test_pooling_in_place_of_lrn_passes_too(name):
    check_backbone(tiny(name, readout="max-pooling"))


class WrongMean(Kosmos2Backbone):
    def preprocess(self, images):
        return super().preprocess(images) / 255


class OneCamera(Kosmos2Backbone):
    def vision_tokens(self, images, cameras):
        return super().vision_tokens(images, ("static", "static"))


class Deaf(Kosmos2Backbone):
    def compose(self, instruction):
        return super().compose("do something")


class Unmasked(LlavaBackbone):
    def decode(self, tokens, vision_tokens, lrn):
        filled = type(tokens)(tokens.ids, tokens.kinds.clamp(max=3) * (tokens.kinds < 4), tokens.positions)
        return super().decode(filled, vision_tokens, lrn)


class Detached(Kosmos2Backbone):
    def image_features(self, pixels):
        return super().image_features(pixels).detach()


class Forgetful(Kosmos2Backbone):
    @property
    def config(self):
        numbers = super().config
        return numbers | {"text_config": numbers["text_config"] | {"activation_function": "relu"}}


class Unsteady(Kosmos2Backbone):
    def fuse(self, prompts, vision_tokens, lrn):
        feature = super().fuse(prompts, vision_tokens, lrn)
        return feature + 0.01 * torch.randn_like(feature)


class Bgr(Kosmos2Backbone):
    def preprocess(self, images):
        return super().preprocess(images.flip(-1))


class MeanSwap(Kosmos2Backbone):
    def preprocess(self, images):
        return super().preprocess(images).flip(1)


class HalfDetached(Kosmos2Backbone):
    def fuse(self, prompts, vision_tokens, lrn):
        first, second = vision_tokens.chunk(2, dim=1)
        return super().fuse(prompts, torch.cat([first, second.detach()], dim=1), lrn)


class FirstWord(Kosmos2Backbone):
    def compose(self, instruction):
        return super().compose(instruction.split()[0])


class Cropped(Kosmos2Backbone):
    def preprocess(self, images):
        return super().preprocess(images[:, : images.shape[1] // 2])


class DetachedInTraining(Kosmos2Backbone):
    def image_features(self, pixels):
        features = super().image_features(pixels)
        return features.detach() if self.training else features


class Always32(Kosmos2Backbone):
    def fuse(self, prompts, vision_tokens, lrn):
        return super().fuse(prompts, vision_tokens, lrn).float()


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (WrongMean, "expected level 0 of channel 0 to reach the vision tower as -1.792"),
        (Bgr, "expected level 255 of channel 0 to reach the vision tower"),
        (MeanSwap, "to reach the vision tower as"),
        (HalfDetached, "got none in .*the gripper camera's tokens"),
        (FirstWord, "expected another word of the instruction to change the feature"),
        (Cropped, "expected another lower left corner of the static camera's image to change"),
        (DetachedInTraining, r"got none in \['vision', 'connector'.* in train mode"),
        (OneCamera, "expected another image of the gripper camera to change the feature"),
        (Deaf, "expected another instruction to change the feature"),
        (Unmasked, "alone as in a padded batch"),
        (Detached, r"expected gradients to reach every part, got none in \['vision', 'connector', "),
        (Forgetful, "expected the same features from the saved and loaded backbone"),
        (Unsteady, "expected the same feature a second time"),
        (Always32, "expected features in bfloat16 on cpu, got torch.float32"),
    ],
)
def test_a_broken_backbone_is_caught(broken, complaint):
    with pytest.raises(BackboneCheckError, match=complaint):
        check_backbone(broken.tiny(torch.Generator().manual_seed(0)))


def test_the_backbone_is_left_as_it_was():
    backbone = tiny("kosmos2").train()
    backbone.model.vision_model.eval()
    backbone.model.text_model.requires_grad_(False)
    check_backbone(backbone)
    assert backbone.training
    assert not backbone.model.vision_model.training
    assert not any(weight.requires_grad for weight in backbone.model.text_model.parameters())
    assert all(weight.requires_grad for weight in backbone.model.vision_model.parameters())
