"""Settings of what is trained do what they say."""

from dataclasses import replace

import pytest
import torch

from calvinbench.policies.backbones.check import made_up_images
from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.registry import BACKBONES, backbone_class
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.heads.config import HeadConfig
from calvinbench.policies.learned.trainable import (
    GROUPS,
    GroupCount,
    TrainableParts,
    apply_trainable_parts,
    checkpointing_saves_memory,
    count_parameters,
    grouped_parameters,
)
from calvinbench.policies.learned.vlm_lstm import VLMLSTM

SENTENCES = ["open the drawer", "push it"]
ALWAYS = {"[LRN]", "head"}
ALL = set(GROUPS) - {"proprioception"}
"""Those of a model without proprioception."""


def tiny(name="kosmos2"):
    torch.manual_seed(0)
    return VLMLSTM(backbone_class(name).tiny(torch.Generator().manual_seed(0)), HeadConfig(hidden_dim=16))


def pictures():
    frames = made_up_images(2)
    return CameraImages(frames.static[:, None], frames.of("gripper")[:, None])


def trained(model):
    return {name for name, count in count_parameters(model).items() if count.trained}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ALL),
        ({"freeze_backbone": True}, ALWAYS),
        ({"freeze_backbone": True, "train_vision": True}, ALWAYS | {"vision"}),
        ({"freeze_backbone": True, "train_text_embedding": True}, ALWAYS | {"text embedding"}),
        ({"freeze_backbone": True, "train_connector": True}, ALWAYS | {"connector"}),
        ({"train_vision": False}, ALL - {"vision"}),
        ({"train_text_embedding": False}, ALL - {"text embedding"}),
    ],
)
@pytest.mark.parametrize("name", ["kosmos2", "qwen-vl", "flamingo"])
def test_groups_are_trained_or_frozen_as_the_settings_say(name, settings, expected):
    model = tiny(name)
    apply_trainable_parts(model, TrainableParts(**settings))
    assert trained(model) == expected
    before = {key: weight.clone() for key, weight in model.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model.eval()(pictures(), SENTENCES).chunks.square().mean().backward()
    optimiser.step()
    groups = {key: group for group, keys in grouped_parameters(model).items() for key in keys}
    changed = {
        groups[key] for key, weight in model.state_dict().items() if key in groups and not weight.equal(before[key])
    }
    assert changed == expected


@pytest.mark.parametrize("name", list(BACKBONES))
def test_groups_hold_every_parameter_once(name):
    model = tiny(name)
    counts = count_parameters(model)
    assert sum(count.total for count in counts.values()) == model.num_parameters
    assert counts["[LRN]"] == GroupCount(model.backbone.width, model.backbone.width)
    assert all(counts[group].total > 0 for group in ALL - {"connector"})


@pytest.mark.parametrize("name", ["kosmos2", "paligemma", "llava", "qwen-vl", "uform", "moondream", "flamingo"])
def test_adapters_train_the_language_model_beside_its_frozen_weights(name):
    model = tiny(name).eval()
    before = model(pictures(), SENTENCES).chunks
    apply_trainable_parts(model, TrainableParts(lora_enable=True, lora_r=2))
    torch.testing.assert_close(model.eval()(pictures(), SENTENCES).chunks, before)  # adapters begin at zero
    assert trained(model) == ALWAYS | {"language"}
    language = grouped_parameters(model)["language"]
    assert all(parameter.requires_grad == ("lora_" in key) for key, parameter in language.items())
    model(pictures(), SENTENCES).chunks.square().mean().backward()
    ups = [parameter for key, parameter in language.items() if "lora_B" in key]
    assert ups
    assert any(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in ups)


def test_biases_may_go_along_with_the_adapters():
    model = tiny()
    apply_trainable_parts(model, TrainableParts(lora_enable=True, lora_r=2, lora_bias="all"))
    language = grouped_parameters(model)["language"]
    trained_names = {key for key, parameter in language.items() if parameter.requires_grad}
    assert {key for key in language if key.endswith("bias")} <= trained_names
    assert not any(key.endswith("base_layer.weight") for key in trained_names)


def kept_bytes_and_gradients(name, **settings):
    """What a forward pass keeps for the backward pass beside the weights, and what that gives."""
    model = tiny(name).train()
    apply_trainable_parts(model, TrainableParts(**settings))
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    torch.manual_seed(3)  # the same dropout both times
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(pictures(), SENTENCES).chunks.square().mean()
    loss.backward()
    gradients = {key: weight.grad for key, weight in model.named_parameters() if weight.grad is not None}
    return sum(kept.values()), gradients


FROZEN = {"freeze_backbone": True}
ADAPTED = {"lora_enable": True, "lora_r": 2}
SETUPS = {"all": {}, "frozen": FROZEN, "adapters": ADAPTED, "vision alone": FROZEN | {"train_vision": True}}
KEEPS_NOTHING = {(name, "frozen") for name in ("cnn", "minilm-effnet")}
"""[LRN] joins what their frozen layers made, so no gradient passes through these."""


@pytest.mark.parametrize(
    ("name", "setup"),
    [(name, setup) for name in BACKBONES for setup in SETUPS if setup != "vision alone" or name in ("llava", "uform")],
)
def test_checkpointing_keeps_less_and_gives_the_same_gradients(name, setup, caplog):
    kept, gradients = kept_bytes_and_gradients(name, **SETUPS[setup])
    kept_less, same = kept_bytes_and_gradients(name, **SETUPS[setup], gradient_checkpointing=True)
    if (name, setup) in KEEPS_NOTHING:
        assert kept_less == kept
        assert f"gradient_checkpointing has no effect: no gradient passes through the layers of {name}" in caplog.text
    else:
        assert kept_less < (0.85 if name == "cnn" else 0.6) * kept  # a plain CNN is shallow
        assert caplog.text == ""
    assert same.keys() == gradients.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(same[key], gradient, atol=1e-6, rtol=1e-5, msg=key)


def test_pooled_features_of_a_frozen_vlm_keep_nothing_and_it_is_said(caplog):
    backbone = backbone_class("qwen-vl").tiny(torch.Generator(), BackboneSettings(readout="max-pooling"))
    model = VLMLSTM(backbone, HeadConfig(hidden_dim=16))
    apply_trainable_parts(model, TrainableParts(freeze_backbone=True, gradient_checkpointing=True))
    assert not checkpointing_saves_memory(model)
    assert "gradient_checkpointing has no effect" in caplog.text
    assert not model.encode(made_up_images(2), SENTENCES).requires_grad
    apply_trainable_parts(model, TrainableParts(lora_enable=True, lora_r=2))
    assert checkpointing_saves_memory(model)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"lora_r": 0}, "expected lora_r and lora_alpha of at least 1"),
        ({"lora_dropout": 1.0}, "expected lora_dropout of at least 0 and below 1"),
        ({"lora_bias": "some"}, "expected lora_bias 'none', 'all' or 'lora_only', got 'some'"),
        ({"lora_enable": True, "freeze_backbone": True}, "expected lora_enable or freeze_backbone, got both"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        replace(TrainableParts(), **wrong)


def test_frozen_parts_stay_in_eval_mode_so_that_their_dropout_does_not_act():
    model = tiny()
    apply_trainable_parts(model, TrainableParts(freeze_backbone=True))
    model.train()
    frames = made_up_images(2)
    assert torch.equal(model.encode(frames, SENTENCES), model.encode(frames, SENTENCES))
    assert model.head.training
    apply_trainable_parts(model, TrainableParts(freeze_backbone=True, train_vision=True))
    assert model.backbone.model.vision_model.training
    assert not model.backbone.model.text_model.training
    apply_trainable_parts(model, TrainableParts())
    assert model.backbone.model.text_model.training
    assert not torch.equal(model.encode(frames, SENTENCES), model.encode(frames, SENTENCES))


def test_what_reads_the_robots_state_is_trained_as_the_head_is():
    torch.manual_seed(0)
    backbone = backbone_class("kosmos2").tiny(torch.Generator().manual_seed(0))
    model = VLMLSTM(backbone, HeadConfig(hidden_dim=16), proprioception=True)
    apply_trainable_parts(model, TrainableParts(freeze_backbone=True))
    assert trained(model) == ALWAYS | {"proprioception"}
    numbers = 11 * model.backbone.width + model.backbone.width  # and a square layer behind
    assert count_parameters(model)["proprioception"].total == numbers + model.backbone.width * (
        model.backbone.width + 1
    )


def test_lrn_is_not_trained_where_it_is_not_read():
    settings = BackboneSettings(readout="max-pooling")
    backbone = backbone_class("kosmos2").tiny(torch.Generator().manual_seed(0), settings)
    model = VLMLSTM(backbone, HeadConfig(hidden_dim=16))
    apply_trainable_parts(model, TrainableParts())
    assert trained(model) == ALL - {"[LRN]"}
    model(pictures(), SENTENCES).chunks.square().mean().backward()
    assert all(weight.grad is not None for weight in model.head.parameters())
