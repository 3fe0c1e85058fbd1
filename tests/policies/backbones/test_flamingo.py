"""OpenFlamingo: images beside the sequence, who reads which, published weights, OpenFlamingo's own code beside ours.

The last needs a checkout of github.com/mlfoundations/open_flamingo (655f693) as the folder `open_flamingo` of the
folder that CALVINBENCH_REFERENCES names, and the packages einops and einops-exts, installed or in its folder `site`.
"""

import importlib
import importlib.util
import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import GPTNeoXForCausalLM, PreTrainedTokenizerFast

from calvinbench.policies.backbones.flamingo import weights as flamingo_weights
from calvinbench.policies.backbones.flamingo.config import FlamingoNumbers
from calvinbench.policies.backbones.flamingo.flamingo import FlamingoBackbone
from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.prompts.prompt import Kind, Layout, collate
from calvinbench.policies.backbones.prompts.tiny_tokenizer import SPECIAL_TOKENS, embedded_tokenizer, tiny_tokenizer
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.weights.random import weights_from
from calvinbench.policies.backbones.weights.sources import BackboneSourceError

SHORT, LONG = "open the drawer", "take the blue block and rotate it to the right until it lies across"


def tiny(layout="seed", **settings):
    chosen = BackboneSettings(layout=Layout(layout), **settings)
    return FlamingoBackbone.tiny(torch.Generator().manual_seed(0), chosen).eval()


@pytest.fixture(scope="module")
def backbone():
    return tiny()


@pytest.fixture(scope="module")
def lrn(backbone):
    return 0.1 * torch.randn(backbone.width, generator=torch.Generator().manual_seed(5))


def noise(batch_size, size, seed):
    shape = (batch_size, size, size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def pictures_of(batch_size=1):
    return CameraImages(noise(batch_size, 84, 1), noise(batch_size, 56, 2))


def relative_difference(first, second):
    return float((first - second).norm() / second.norm())


# --- the sequence -----------------------------------------------------------------------------------------------------


def read(backbone, sentence=SHORT):
    """A prompt as text, [LRN] written out."""
    prompt = backbone.prompt(sentence)
    names = backbone.tokenizer.convert_ids_to_tokens(list(prompt.ids))
    shown = zip(names, prompt.kinds, strict=True)
    return "".join("[LRN]" if kind == Kind.LRN else name for name, kind in shown).replace("Ġ", " ")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"layout": "seed"}, "open the drawer<image><image>[LRN]"),
        ({"layout": "seed", "cameras": ("static",)}, "open the drawer<image>[LRN]"),
        ({"layout": "native"}, "<image>open the drawer<|endofchunk|><image>open the drawer[LRN]"),
        ({"layout": "native", "cameras": ("static",)}, "<image>open the drawer[LRN]"),
        ({"layout": "robovlms", "cameras": ("static",)}, "<image>open the drawer<|endofchunk|>[LRN]</s>"),
        ({"layout": "native", "readout": "max-pooling", "cameras": ("static",)}, "<image>open the drawer"),
    ],
)
def test_an_image_is_one_token_of_the_sequence(settings, expected):
    backbone = tiny(**settings)
    assert read(backbone) == expected
    assert backbone.prompt(SHORT).cameras == backbone.settings.cameras


def test_robovlms_way_with_two_cameras_is_refused_for_it_cannot_tell_them_apart():
    with pytest.raises(ValueError, match="another layout than 'robovlms' for flamingo: RoboVLMs joins both cameras"):
        tiny(layout="robovlms").prompt(SHORT)


def test_names_of_special_tokens_in_a_sentence_are_words(backbone):
    ids = backbone.text_ids("open <image> it<|endofchunk|>")
    assert backbone.image_token_id not in ids
    assert backbone.tokenizer.decode(ids) == "open <image> it<|endofchunk|>"


# --- who reads which image ------------------------------------------------------------------------------------------


def test_a_token_reads_its_own_or_the_last_image_and_lrn_all(backbone):
    prompt = backbone.words("a") + backbone.image("static") + backbone.words("b") + backbone.image("gripper")
    prompt += backbone.words("c") + backbone.lrn_place()
    tokens = collate([prompt, backbone.image("static") + backbone.image("gripper")], 0, torch.device("cpu"))
    by_picture = backbone.visible(tokens, 32).unflatten(-1, (2, 16))
    assert torch.equal(by_picture.all(dim=-1), by_picture.any(dim=-1))
    #       a, <image>, b, <image>, c, [LRN]
    static = [[0, 1, 1, 0, 0, 1], [0, 0, 0, 0, 1, 0]]
    gripper = [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 1]]
    seen = by_picture.any(dim=-1).int()
    assert seen[..., 0].tolist() == static
    assert seen[..., 1].tolist() == gripper


@torch.inference_mode()
def test_text_before_every_image_does_not_change_with_images(backbone, lrn):
    tokens = collate([backbone.prompt(SHORT)], backbone.pad_id, torch.device("cpu"))
    length = len(backbone.text_ids(SHORT))
    outputs = [
        backbone.decode(
            tokens, backbone.vision_tokens(CameraImages(noise(1, 84, seed), noise(1, 84, 9)), CAMERAS), lrn
        )[0]
        for seed in (1, 2)
    ]
    torch.testing.assert_close(outputs[0][:length], outputs[1][:length], atol=1e-6, rtol=0)
    assert relative_difference(outputs[0][length], outputs[1][length]) > 0.05  # `<image>` of the static camera
    assert torch.isfinite(outputs[0]).all()


CAMERAS = ("static", "gripper")


@torch.inference_mode()
@pytest.mark.parametrize(("layout", "least"), [("seed", 0.02), ("native", 0.1)])
def test_cameras_are_told_apart_by_place_alone(lrn, layout, least):
    backbone = tiny(layout=layout)
    static, gripper = noise(1, 84, 1), torch.zeros(1, 84, 84, 3, dtype=torch.uint8)
    feature = backbone(CameraImages(static, gripper), [SHORT], lrn)
    assert relative_difference(backbone(CameraImages(gripper, static), [SHORT], lrn), feature) > least


@torch.inference_mode()
@pytest.mark.parametrize("layout", ["seed", "native"])
def test_each_camera_the_instruction_and_lrn_matter(lrn, layout):
    backbone = tiny(layout=layout)
    static, gripper, black = noise(1, 84, 1), noise(1, 84, 2), torch.zeros(1, 84, 84, 3, dtype=torch.uint8)
    feature = backbone(CameraImages(static, gripper), [SHORT], lrn)
    assert relative_difference(backbone(CameraImages(black, gripper), [SHORT], lrn), feature) > 0.2
    assert relative_difference(backbone(CameraImages(static, black), [SHORT], lrn), feature) > 0.2
    assert relative_difference(backbone(CameraImages(static, gripper), [LONG], lrn), feature) > 0.2
    assert relative_difference(backbone(CameraImages(static, gripper), [SHORT], lrn * 0), feature) > 0.2


@torch.inference_mode()
def test_closed_gates_make_it_blind(lrn):
    backbone = tiny()
    for block in backbone.cross_attention.values():
        block.attention_gate.zero_()
    seen, unseen = (backbone(CameraImages(noise(1, 84, seed), noise(1, 84, 2)), [SHORT], lrn) for seed in (1, 3))
    assert torch.equal(seen, unseen)
    assert FlamingoBackbone.full_config()["initial_gate"] == 0


@torch.inference_mode()
def test_the_resampler_gets_the_last_layers_patches_without_the_class_token(backbone):
    given = []
    hook = backbone.resampler.register_forward_pre_hook(lambda module, arguments: given.append(arguments[0]))
    made = []
    last_layer = backbone.vision_tower.get_submodule("encoder.layers.1").register_forward_hook(
        lambda module, arguments, output: made.append(output[0] if isinstance(output, tuple) else output)
    )
    latents = backbone.image_features(backbone.preprocess(noise(2, 56, 1)))
    hook.remove()
    last_layer.remove()
    assert latents.shape == (2, 16, 96)
    assert torch.equal(given[0], made[0][:, 1:])


# --- batches and gradients --------------------------------------------------------------------------------------------


@torch.inference_mode()
@pytest.mark.parametrize("layout", ["seed", "native"])
@pytest.mark.parametrize("readout", ["lrn", "max-pooling"])
def test_a_sample_alone_equals_itself_in_a_padded_batch(lrn, layout, readout):
    backbone = tiny(layout=layout, readout=readout)
    images = pictures_of(3)
    batch = backbone(images, [SHORT, LONG, SHORT], lrn)
    for row, sentence in enumerate([SHORT, LONG, SHORT]):
        one = CameraImages(images.static[row : row + 1], images.gripper[row : row + 1])
        torch.testing.assert_close(backbone(one, [sentence], lrn)[0], batch[row], atol=1e-5, rtol=1e-5)


def gradients(backbone, lrn):
    backbone.train()
    lrn = lrn.clone().requires_grad_()
    backbone(pictures_of(2), [SHORT, LONG], lrn).square().sum().backward()
    return {"lrn": lrn.grad} | {name: parameter.grad for name, parameter in backbone.named_parameters()}


def test_gradients_reach_every_weight_and_recomputing_changes_none(lrn):
    kept, recomputing = tiny(), tiny()
    recomputing.enable_gradient_checkpointing()
    first, second = gradients(kept, lrn), gradients(recomputing, lrn)
    unused = {name for name, gradient in first.items() if gradient is None}
    assert unused == {"vision_tower.post_layernorm.weight", "vision_tower.post_layernorm.bias"}
    for name in first.keys() - unused:
        assert first[name].abs().max() > 0, name
        torch.testing.assert_close(first[name], second[name], atol=1e-5, rtol=1e-4)


def test_recomputing_runs_cross_attention_again(lrn):
    backbone = tiny()
    runs = []
    for block in backbone.cross_attention.values():
        block.attention.register_forward_pre_hook(lambda *_: runs.append(1))
    gradients(backbone, lrn)
    assert len(runs) == 2
    backbone.enable_gradient_checkpointing()
    gradients(backbone, lrn)
    assert len(runs) == 2 + 4


def test_parts_hold_each_parameter_once(backbone):
    parts = backbone.parts
    held = [
        parameter for module in (*parts.vision, *parts.connector, *parts.language) for parameter in module.parameters()
    ]
    assert len(held) == len({id(parameter) for parameter in held}) == len(list(backbone.parameters()))


# --- configurations ---------------------------------------------------------------------------------------------------


def test_the_configuration_makes_the_same_model_again(backbone, lrn):
    config = json.loads(json.dumps(backbone.config))
    again = FlamingoBackbone.from_config(config, backbone.tokenizer, BackboneSettings()).eval()
    again.load_state_dict(backbone.state_dict())
    assert again.config == backbone.config
    assert torch.equal(again(pictures_of(), [SHORT], lrn), backbone(pictures_of(), [SHORT], lrn))


def test_tiny_and_full_differ_in_numbers_only(backbone):
    full, small = FlamingoBackbone.full_config(), FlamingoBackbone.tiny_config(backbone.tokenizer)
    assert full.keys() == small.keys()
    assert full["language"].keys() == small["language"].keys()
    assert full["vision"].keys() == small["vision"].keys()
    same = ("model_type", "use_parallel_residual", "rope_parameters")
    assert all(full["language"][key] == small["language"][key] for key in same)


def test_the_published_size(backbone):
    with torch.device("meta"):
        model = FlamingoBackbone.from_config(FlamingoBackbone.full_config(), backbone.tokenizer, BackboneSettings())
    sizes = {name: sum(weight.numel() for weight in part.parameters()) for name, part in model.named_children()}
    assert sizes == {
        "vision_tower": 303_179_776,
        "language_model": 2_646_369_280,
        "resampler": 63_019_008,
        "cross_attention": 897_744_928,
    }
    assert (model.width, model.image_size, model.num_image_tokens) == (2560, 224, 64)
    assert list(model.cross_attention) == [str(layer) for layer in range(1, 32, 2)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 3}, "expected a configuration of flamingo with feed_forward_factor"),
        ({"num_heads": 0}, "counts of at least 1"),
        ({"layers_per_cross_attention": 5}, "at most the language model's 4 layers, got 5: no layer would see"),
        ({"language": {"model_type": "mpt"}}, "expected the configuration of a gpt_neox, got model type mpt"),
    ],
)
def test_numbers_of_something_else_are_refused(backbone, change, message):
    config = FlamingoBackbone.tiny_config(backbone.tokenizer) | change
    with pytest.raises(ValueError, match=message):
        FlamingoBackbone.from_config(config, backbone.tokenizer, BackboneSettings())


def test_another_size_of_images_is_refused():
    with pytest.raises(ValueError, match="expected image_size 56 or none for flamingo, got 224"):
        tiny(image_size=224)


# --- mistakes, and what each would cost -------------------------------------------------------------------------------


@torch.inference_mode()
def test_the_costs_of_mistakes(lrn, monkeypatch):
    backbone = tiny()
    generator = torch.Generator().manual_seed(3)
    backbone.vision_tower.post_layernorm.weight.uniform_(0.5, 1.5, generator=generator)  # as if it had been trained
    right = backbone(pictures_of(), [SHORT], lrn)
    resample, visible = backbone.resampler.forward, backbone.visible

    def normed(patches):
        return resample(backbone.vision_tower.post_layernorm(patches))

    def as_for_text(tokens, num_vision):
        return visible(replace(tokens, kinds=tokens.kinds.masked_fill(tokens.is_lrn, Kind.TEXT)), num_vision)

    for where, name, mistake, expected in [
        (backbone.resampler, "forward", normed, NORMED),
        (backbone, "visible", as_for_text, LAST_PICTURE_ALONE),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(where, name, mistake)
            assert relative_difference(backbone(pictures_of(), [SHORT], lrn), right) == pytest.approx(expected, rel=0.1)
    quarter = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}
    for change, expected in [({"rope_parameters": quarter}, QUARTER), ({"use_parallel_residual": True}, PARALLEL)]:
        config = backbone.config
        config["language"] |= change
        wrong = FlamingoBackbone.from_config(config, backbone.tokenizer, BackboneSettings()).eval()
        wrong.load_state_dict(backbone.state_dict())
        assert relative_difference(wrong(pictures_of(), [SHORT], lrn), right) == pytest.approx(expected, rel=0.1)


NORMED, LAST_PICTURE_ALONE, QUARTER, PARALLEL = 0.19, 0.41, 0.23, 0.91


# --- published weights ------------------------------------------------------------------------------------------------


def published_model():
    """Tiny models, joined by parts of the published numbers, which `pretrained` expects."""
    tokenizer = tiny_tokenizer((*FlamingoBackbone.special_tokens, "<PAD>"))
    tokenizer.pad_token = "<PAD>"
    config = FlamingoBackbone.tiny_config(tokenizer) | asdict(FlamingoNumbers(initial_gain=3.0))
    with weights_from(torch.Generator().manual_seed(0)):
        backbone = FlamingoBackbone.from_config(config, tokenizer, BackboneSettings()).eval()
    with torch.no_grad():
        for number, block in enumerate(backbone.cross_attention.values(), start=1):
            block.attention_gate.fill_(0.3 * number)
            block.feed_forward_gate.fill_(-0.2 * number)
    return backbone


def published_checkpoint(backbone):
    """What OpenFlamingo's training saves, name by name as its modules have them."""
    names = {"perceiver.latents": backbone.resampler.latents}

    def add(prefix, module):
        names.update({f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()})

    add("perceiver.norm", backbone.resampler.norm)
    for index, block in enumerate(backbone.resampler.blocks):
        add(f"perceiver.layers.{index}.0.norm_media", block.attention.patch_norm)
        add(f"perceiver.layers.{index}.0.norm_latents", block.attention.latent_norm)
        add(f"perceiver.layers.{index}.0.to_q", block.attention.query)
        add(f"perceiver.layers.{index}.0.to_kv", block.attention.key_value)
        add(f"perceiver.layers.{index}.0.to_out", block.attention.output)
        add(f"perceiver.layers.{index}.1", block.feed_forward)
    for layer, block in backbone.cross_attention.items():
        prefix = f"lang_encoder.gpt_neox.layers.{layer}.gated_cross_attn_layer"
        names[f"{prefix}.attn_gate"] = block.attention_gate
        names[f"{prefix}.ff_gate"] = block.feed_forward_gate
        add(f"{prefix}.attn.norm", block.attention.norm)
        add(f"{prefix}.attn.to_q", block.attention.query)
        add(f"{prefix}.attn.to_kv", block.attention.key_value)
        add(f"{prefix}.attn.to_out", block.attention.output)
        add(f"{prefix}.ff", block.feed_forward)
    add("lang_encoder.gpt_neox.embed_in", backbone.language_model.embed_in)
    return {name: tensor.detach().clone() for name, tensor in names.items()}


TABLES = {"attention.bias": torch.ones(1, 1, 8, 8), "attention.rotary_emb.inv_freq": torch.ones(4)}
"""Buffers that old versions of transformers saved with GPT-NeoX's weights."""


def write_language_model(folder, backbone):
    folder.mkdir()
    width, num_rows = backbone.width, 600  # more rows than tokens, as RedPajama's table
    weights = {f"gpt_neox.{name}": tensor for name, tensor in backbone.language_model.state_dict().items()}
    weights["gpt_neox.embed_in.weight"] = torch.zeros(num_rows, width)
    weights["embed_out.weight"] = torch.zeros(num_rows, width)
    weights |= {f"gpt_neox.layers.0.{name}": tensor for name, tensor in TABLES.items()}
    torch.save(weights, folder / "pytorch_model.bin")
    config = {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "vocab_size": num_rows,
        "hidden_size": width,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
        "rotary_pct": 1.0,
        "rotary_emb_base": 10000,
        "use_parallel_residual": False,
        "torch_dtype": "float16",
    }
    (folder / "config.json").write_text(json.dumps(config))
    begin, _, end, unknown = SPECIAL_TOKENS
    PreTrainedTokenizerFast(
        tokenizer_object=embedded_tokenizer(), bos_token=begin, eos_token=end, unk_token=unknown
    ).save_pretrained(folder)


def write_vision_tower(folder, backbone):
    folder.mkdir()
    tower = backbone.vision_tower.state_dict()
    weights = {f"vision_model.{name.removeprefix('vision_model.')}": tensor for name, tensor in tower.items()}
    others = {
        "vision_model.embeddings.position_ids": torch.arange(17)[None],
        "text_model.embeddings.token_embedding.weight": torch.zeros(8, 8),
        "text_projection.weight": torch.zeros(8, 8),
        "visual_projection.weight": torch.zeros(8, 96),
        "logit_scale": torch.zeros(()),
    }
    save_file(weights | others, folder / "model.safetensors", metadata={"format": "pt"})
    vision = FlamingoBackbone.tiny_config(backbone.tokenizer)["vision"]
    (folder / "config.json").write_text(json.dumps({"model_type": "clip", "vision_config": vision}))


@pytest.fixture
def published(tmp_path):
    """A model, and the folder of its weights in the published names."""
    backbone = published_model()
    write_language_model(tmp_path / "language_model", backbone)
    write_vision_tower(tmp_path / "vision_tower", backbone)
    torch.save(published_checkpoint(backbone), tmp_path / "checkpoint.pt")
    return backbone, tmp_path


def test_published_names_load_to_the_last_number(published):
    backbone, folder = published
    loaded = FlamingoBackbone.pretrained(folder, BackboneSettings(), torch.float32).eval()
    expected, weights = backbone.state_dict(), loaded.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert {parameter.device.type for parameter in loaded.parameters()} == {"cpu"}
    assert read(loaded) == read(backbone)
    assert loaded.pad_id == backbone.pad_id == loaded.special_id("<PAD>")
    lrn = torch.ones(backbone.width)
    assert torch.equal(loaded(pictures_of(), [SHORT], lrn), backbone(pictures_of(), [SHORT], lrn))
    again = FlamingoBackbone.from_config(loaded.config, loaded.tokenizer, BackboneSettings())
    again.load_state_dict(weights)


def test_weights_have_the_dtype_that_was_asked_for(published):
    _, folder = published
    loaded = FlamingoBackbone.pretrained(folder, BackboneSettings(), torch.bfloat16).eval()
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}
    assert loaded.language_model.rotary_emb.inv_freq.dtype == torch.float32
    feature = loaded(pictures_of(), [SHORT], torch.ones(loaded.width))
    assert feature.dtype == torch.bfloat16
    assert torch.isfinite(feature).all()


def test_what_training_saves_beside_weights_is_known(published):
    backbone, folder = published
    weights = {f"module.{name}": tensor for name, tensor in published_checkpoint(backbone).items()}
    weights["module.lang_encoder.embed_out.weight"] = torch.zeros(514, 128)
    prefix = "module.lang_encoder.gpt_neox.layers.0.decoder_layer"
    weights |= {f"{prefix}.{name}": tensor for name, tensor in TABLES.items()}
    torch.save({"epoch": 3, "model_state_dict": weights}, folder / "checkpoint.pt")
    FlamingoBackbone.pretrained(folder, BackboneSettings(), torch.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("perceiver.latents"), "Missing resampler.latents, left over none"),
        (
            lambda weights: weights.update({"perceiver.layers.6.0.to_q.weight": torch.zeros(1)}),
            "Missing none, left over resampler.blocks.6.attention.query.weight",
        ),
        (
            lambda weights: weights.update({"lang_encoder.gpt_neox.embed_in.weight": torch.zeros(600, 128)}),
            r"of another shape language_model.embed_in.weight \(600, 128\) for \(\d+, 128\)",
        ),
        (lambda weights: weights.update({"value_head.weight": torch.zeros(1)}), "got also value_head.weight"),
        (
            lambda weights: weights.update({"lang_encoder.transformer.blocks.0.x": torch.zeros(1)}),
            "MPT-1B normalises queries and keys",
        ),
        (lambda weights: weights.update({"epoch": 3}), "names and tensors in .*checkpoint.pt, got something else"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(published, change, message):
    backbone, folder = published
    weights = published_checkpoint(backbone)
    change(weights)
    torch.save(weights, folder / "checkpoint.pt")
    with pytest.raises(BackboneSourceError, match=message):
        FlamingoBackbone.pretrained(folder, BackboneSettings(), torch.float32)


def change_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "checkpoint.pt").unlink(), "published separately; missing: checkpoint.pt"),
        (lambda folder: (folder / "checkpoint.pt").write_bytes(b"?"), "cannot be read as one"),
        (lambda folder: (folder / "vision_tower").rename(folder / "clip"), "missing: vision_tower"),
        (
            lambda folder: change_json(folder / "language_model" / "config.json", model_type="mpt"),
            "expected a gpt_neox in .*language_model, got a model of type mpt. OpenFlamingo on MPT is not supported",
        ),
        (
            lambda folder: change_json(folder / "language_model" / "config.json", num_hidden_layers=5),
            "weights of a gpt_neox in .*, but some do not match: missing layers.4.attention.dense.bias",
        ),
        (
            lambda folder: change_json(folder / "language_model" / "config.json", num_hidden_layers=3),
            "missing none, left over (gpt_neox.)?layers.3.attention.dense.bias",
        ),
        (
            lambda folder: (folder / "vision_tower" / "model.safetensors").unlink(),
            "expected the weights of a clip in .*vision_tower, but:",
        ),
        (lambda folder: (folder / "language_model" / "tokenizer.json").unlink(), "the language model's tokenizer in"),
    ],
)
def test_folders_that_lack_something_are_refused_in_words(published, change, message):
    _, folder = published
    change(folder)
    with pytest.raises(BackboneSourceError, match=message):
        FlamingoBackbone.pretrained(folder, BackboneSettings(), torch.float32)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "openflamingo/OpenFlamingo-3B-vitl-mpt1b",
            "transformers' MptConfig has this setting, but its model ignores it",
        ),
        ("openflamingo/OpenFlamingo-9B-deprecated", "one of openflamingo/OpenFlamingo-4B-vitl-rpj3b, "),
        ("/no/such/folder", "one of openflamingo/OpenFlamingo-4B-vitl-rpj3b, "),
    ],
)
def test_other_openflamingos_are_refused_before_they_are_downloaded(name, message):
    with pytest.raises(BackboneSourceError, match=message):
        FlamingoBackbone.pretrained(name, BackboneSettings(), torch.float32)


def test_a_name_on_the_hub_means_three_downloads(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(flamingo_weights, "local_folder", lambda source, hint: asked.append(source) or tmp_path)
    folders = flamingo_weights.find_folders(f"{FlamingoBackbone.hub_name}-langinstruct@main", FlamingoBackbone.hub_name)
    assert asked == [
        "openflamingo/OpenFlamingo-4B-vitl-rpj3b-langinstruct@main",
        "togethercomputer/RedPajama-INCITE-Instruct-3B-v1",
        "openai/clip-vit-large-patch14",
    ]
    assert folders.checkpoint == tmp_path / "checkpoint.pt"


# --- OpenFlamingo's own code ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def public():
    """OpenFlamingo's modules, without its package's `__init__`, which wants open_clip."""
    references = os.environ.get("CALVINBENCH_REFERENCES")
    folder = Path(references or "/") / "open_flamingo" / "open_flamingo" / "src"
    if references is None or not folder.is_dir():
        pytest.skip("no checkout of open_flamingo: set CALVINBENCH_REFERENCES to the folder that holds it")
    sys.path.append(f"{references}/site")
    name = "calvinbench_test_open_flamingo"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        yield SimpleNamespace(
            flamingo=importlib.import_module(f"{name}.flamingo"),
            language=importlib.import_module(f"{name}.flamingo_lm"),
            helpers=importlib.import_module(f"{name}.helpers"),
            extend=importlib.import_module(f"{name}.utils").extend_instance,
        )
    except ImportError as error:
        pytest.skip(f"open_flamingo's code cannot be imported: {error}")
    finally:
        sys.path.remove(f"{references}/site")
        for module in [module for module in sys.modules if module.split(".")[0] == name]:
            del sys.modules[module]


class TowerOfOpenClip(nn.Module):
    """A CLIP tower that answers as open_clip's does with `output_tokens`, to 2.23: pooled, and tokens not normed."""

    def __init__(self, tower):
        super().__init__()
        self.tower = tower

    def forward(self, pixels):
        return None, self.tower(pixel_values=pixels).last_hidden_state[:, 1:]


def public_model(public, backbone):
    """OpenFlamingo's own `Flamingo` with our random weights, loaded by the names that it gives them."""
    language = GPTNeoXForCausalLM(backbone.language_model.config)
    language.gpt_neox.load_state_dict(backbone.language_model.state_dict())
    public.extend(language, public.language.FlamingoLMMixin)
    language.set_decoder_layers_attr_name("gpt_neox.layers")
    model = public.flamingo.Flamingo(
        SimpleNamespace(visual=TowerOfOpenClip(backbone.vision_tower)),
        language,
        eoc_token_id=backbone.special_id("<|endofchunk|>"),
        media_token_id=backbone.image_token_id,
        vis_dim=backbone.vision_tower.config.hidden_size,
        cross_attn_every_n_layers=2,
    )
    missing, unexpected = model.load_state_dict(published_checkpoint(backbone), strict=False)
    assert not unexpected
    assert not [name for name in missing if "perceiver" in name or ".layers.1.gated" in name or "embed_in" in name]
    return model.eval()


def ours_and_theirs(public, backbone, prompts, images, lrn=None):
    """Last hidden states of our decoder and of theirs; [LRN] takes the row of an unused token in theirs."""
    tokens = collate(prompts, backbone.pad_id, torch.device("cpu"))
    cameras = prompts[0].cameras
    pixels = torch.stack([backbone.preprocess(images.of(camera)) for camera in cameras], dim=1)
    model = public_model(public, backbone)
    unused = backbone.special_id("<unk>")
    if lrn is not None:
        model.lang_encoder.get_input_embeddings().weight[unused] = lrn
    their_hidden = []
    hook = model.lang_encoder.gpt_neox.final_layer_norm.register_forward_hook(
        lambda module, arguments, output: their_hidden.append(output)
    )
    model(
        pixels[:, :, None],  # (B, images, frames, 3, size, size)
        tokens.ids.masked_fill(tokens.is_lrn, unused),
        attention_mask=tokens.attended.long(),
    )
    hook.remove()
    vision_tokens = backbone.vision_tokens(images, cameras)
    ours = backbone.decode(tokens, vision_tokens, torch.zeros(backbone.width) if lrn is None else lrn)
    return ours[tokens.attended], their_hidden[0][tokens.attended], tokens


@torch.inference_mode()
@pytest.mark.parametrize("sentences", [[SHORT], [LONG, SHORT, "go"]])
@pytest.mark.parametrize("layout", ["seed", "native", "robovlms"])
def test_with_one_camera_every_token_and_lrn_are_what_openflamingo_makes_of_them(public, layout, sentences):
    backbone = published_model()
    backbone.settings = BackboneSettings(layout=Layout(layout), cameras=("static",))
    lrn = 0.1 * torch.randn(backbone.width, generator=torch.Generator().manual_seed(5))
    prompts = [backbone.prompt(sentence) for sentence in sentences]
    ours, theirs, _ = ours_and_theirs(public, backbone, prompts, CameraImages(noise(len(sentences), 84, 1)), lrn)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("layout", ["seed", "native"])
def test_with_two_cameras_every_token_but_lrn_is_what_openflamingo_makes_of_it(public, layout):
    backbone = published_model()
    backbone.settings = BackboneSettings(layout=Layout(layout))
    lrn = torch.ones(backbone.width)
    prompts = [backbone.prompt(sentence) for sentence in (SHORT, LONG)]
    ours, theirs, tokens = ours_and_theirs(public, backbone, prompts, pictures_of(2), lrn)
    is_lrn = tokens.is_lrn[tokens.attended]
    torch.testing.assert_close(ours[~is_lrn], theirs[~is_lrn], atol=1e-5, rtol=1e-5)
    assert relative_difference(ours[is_lrn], theirs[is_lrn]) > 0.02  # ours sees both images


@torch.inference_mode()
@pytest.mark.parametrize("immediate", [True, False])
def test_lrn_reads_as_openflamingos_tokens_do_that_see_all_images_before(public, immediate):
    backbone = published_model()
    block = backbone.cross_attention["1"]
    theirs = public.helpers.GatedCrossAttentionBlock(dim=128, dim_visual=96, only_attend_immediate_media=immediate)
    prefix = "lang_encoder.gpt_neox.layers.1.gated_cross_attn_layer."
    weights = published_checkpoint(backbone)
    theirs.load_state_dict({name.removeprefix(prefix): weights[name] for name in weights if name.startswith(prefix)})
    prompts = [backbone.prompt(sentence) for sentence in (SHORT, LONG)]
    tokens = collate(prompts, backbone.pad_id, torch.device("cpu"))
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(*tokens.ids.shape, 128, generator=generator)
    media = torch.randn(2, 2, 64, 96, generator=generator)
    public_output = theirs(hidden, media, media_locations=tokens.is_vision, use_cached_media=False)
    ours = block(hidden, media.flatten(1, 2), backbone.visible(tokens, 128))
    same = ~tokens.is_lrn if immediate else tokens.is_lrn
    torch.testing.assert_close(ours[same], public_output[same], atol=1e-5, rtol=1e-5)
    assert relative_difference(ours[~same], public_output[~same]) > 1e-3
