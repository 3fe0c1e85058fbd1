"""Families that transformers has whole: our sequence is the model's own, and pretrained folders are read strictly."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from calvinbench.policies.backbones.check import made_up_images
from calvinbench.policies.backbones.prompts.prompt import Kind, Layout, collate
from calvinbench.policies.backbones.registry import backbone_class
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.weights.sources import BackboneSourceError

FAMILIES = ("kosmos2", "paligemma", "llava", "qwen-vl")
SENTENCE = "push the red block to the left"
UNUSED_ID = 3
"""`<unk>`: no sentence has it."""


def tiny(name, layout=Layout.NATIVE):
    return backbone_class(name).tiny(torch.Generator().manual_seed(0), BackboneSettings(layout=layout)).eval()


def lrn_of(backbone):
    return 0.1 * torch.randn(backbone.width, generator=torch.Generator().manual_seed(5))


def extras(name, backbone, tokens):
    """What each model's own processor would hand over beside ids and pixels."""
    is_vision = tokens.is_vision
    if name == "kosmos2":
        return {"image_embeds_position_mask": is_vision}
    if name == "paligemma":
        return {"token_type_ids": (tokens.kinds == Kind.LRN).long()}
    if name == "qwen-vl":
        return {"mm_token_type_ids": is_vision.int()}
    return {}


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_the_feature_is_what_the_model_itself_makes_of_ids_and_pixels(name):
    backbone, reference, lrn, images = tiny(name), tiny(name), lrn_of(tiny(name)), made_up_images(1)
    ours = backbone(images, [SENTENCE], lrn)
    # The model's own path: pixels and token ids in, no embeddings of ours; [LRN] takes the place of an unused token.
    embedding = reference.parts.text_embedding
    embedding.weight[UNUSED_ID] = lrn / getattr(embedding, "scalar_embed_scale", 1.0)
    prompt = backbone.prompt(SENTENCE)
    tokens = collate([prompt], backbone.pad_id, torch.device("cpu"))
    assert UNUSED_ID not in tokens.ids[~tokens.is_lrn]
    ids = tokens.ids.masked_fill(tokens.is_lrn, UNUSED_ID)
    pixels = torch.cat([backbone.preprocess(images.of(camera)) for camera in prompt.cameras])
    inputs = backbone.image_inputs(pixels) | extras(name, backbone, tokens)
    theirs = reference.model(input_ids=ids, attention_mask=torch.ones_like(ids), **inputs).last_hidden_state[:, -1]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_model_is_read_back_exactly(name, tmp_path):
    backbone = tiny(name)
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    again = type(backbone).pretrained(tmp_path, backbone.settings, torch.float32).eval()
    assert again.config == backbone.config
    assert again.prompt(SENTENCE) == backbone.prompt(SENTENCE)
    for key, weight in backbone.state_dict().items():
        assert torch.equal(again.state_dict()[key], weight), key
    half = type(backbone).pretrained(tmp_path, backbone.settings, torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert tiny(name).from_config(half.config, backbone.tokenizer, backbone.settings).dtype == torch.float32


@pytest.fixture
def saved(tmp_path):
    backbone = tiny("llava")
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def load(name, folder):
    return backbone_class(name).pretrained(folder, BackboneSettings(), torch.float32)


def test_another_architecture_is_refused(saved):
    with pytest.raises(BackboneSourceError, match="of kosmos-2 for the backbone 'kosmos2', got model type 'llava'"):
        load("kosmos2", saved)


def test_weights_that_are_missing_left_over_or_of_another_shape_are_named(saved):
    weights = load_file(saved / "model.safetensors")
    key = next(key for key in weights if key.endswith("multi_modal_projector.linear_1.weight"))
    weights["strange.weight"] = weights.pop(key)
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneSourceError, match=r"missing \['multi_modal_projector\.linear_1\.weight'\].*strange"):
        load("llava", saved)


def test_a_folder_without_a_model_says_what_is_wanted(tmp_path):
    with pytest.raises(
        BackboneSourceError, match=r"with a config.json, .* without config.json and weights and a tokenizer"
    ):
        load("llava", tmp_path)


def test_a_hub_that_cannot_be_reached_says_what_to_do(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BackboneSourceError, match=r"to download 'llava-hf/llava-1.5-7b-hf'.*Or name a local folder"):
        load("llava", "llava-hf/llava-1.5-7b-hf")


def test_neither_a_folder_nor_a_name_is_told():
    with pytest.raises(BackboneSourceError, match=r"ORG/NAME on the hub, such as llava-hf.*there is no such folder"):
        load("llava", "no such folder")
