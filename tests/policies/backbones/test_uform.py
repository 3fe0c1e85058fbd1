"""UForm-Gen2: its tower, pooler, prompt and decoder are the public code's; published names load; nothing is guessed.

The comparison needs checkouts in the folder CALVINBENCH_REFERENCES: `uform` (github.com/unum-cloud/uform, whose
`torch_decoders.py` is of the first UForm-Gen) and `uform-gen2-qwen-500m` (the hub's `vision_encoder.py` and
`modeling_uform_gen.py`).
"""

import importlib
import json
import os
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from transformers import Qwen2Config

from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.prompts.prompt import Kind, Layout, collate
from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
from calvinbench.policies.backbones.settings import MAX_POOLING, BackboneSettings
from calvinbench.policies.backbones.uform.modules import VisionNumbers, VisionTower
from calvinbench.policies.backbones.uform.uform import UFormBackbone
from calvinbench.policies.backbones.weights.sources import BackboneSourceError

SHORT, LONG = "open the drawer", "take the blue block and rotate it to the right until it lies across"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tiny(layout=Layout.SEED, **settings):
    return UFormBackbone.tiny(torch.Generator().manual_seed(0), BackboneSettings(layout=layout, **settings)).eval()


def noise(batch_size, height, width, seed):
    shape = (batch_size, height, width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def pictures_of(batch_size=1):
    return CameraImages(noise(batch_size, 200, 200, 1), noise(batch_size, 84, 84, 2))


def an_lrn(backbone):
    return 0.1 * torch.randn(backbone.width, generator=torch.Generator().manual_seed(5))


def relative_difference(first, second):
    return float(((first - second).norm() / second.norm()).detach())


# --- images ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(200, 200), (60, 100), (101, 84), (84, 84)])
def test_images_are_padded_with_the_mean_colour_and_resized_bilinearly_as_pil_does(shape):
    backbone = tiny()
    frame = noise(1, *shape, 3)
    image = Image.fromarray(frame[0].numpy())
    square = Image.new("RGB", (max(shape), max(shape)), (122, 116, 104))
    square.paste(image, ((max(shape) - shape[1]) // 2, (max(shape) - shape[0]) // 2))
    levels = np.asarray(square.resize((84, 84), Image.Resampling.BILINEAR))
    mean, std = (np.array(values) for values in (backbone.image_mean, backbone.image_std))
    expected = torch.from_numpy((levels / 255 - mean) / std).permute(2, 0, 1).float()
    torch.testing.assert_close(backbone.preprocess(frame)[0], expected, atol=1e-6, rtol=0)


def test_an_image_is_as_many_tokens_at_any_size_that_patches_divide():
    for image_size in (28, 56, 84):
        backbone = tiny(image_size=image_size)
        tokens = backbone.vision_tokens(pictures_of(), ("static",))
        assert tokens.shape == (1, 16, 128)
    with pytest.raises(ValueError, match="a multiple of 14 pixels, got 100"):
        tiny(image_size=100)


def test_positions_are_stretched_by_the_grid_and_a_tenth():
    tower = VisionTower(VisionNumbers(8, 0, 2, 14, positions_size=224, layer_scale=1.0))
    grid = tower.pos_embed.reshape(1, 16, 16, 8).permute(0, 3, 1, 2)
    stretched = tower.positions(24)
    assert stretched.shape == (1, 576, 8)
    exact = nn.functional.interpolate(grid, scale_factor=(24.1 / 16,) * 2, mode="bicubic").flatten(2).transpose(1, 2)
    to_size = nn.functional.interpolate(grid, (24, 24), mode="bicubic").flatten(2).transpose(1, 2)
    assert torch.equal(stretched, exact)
    assert relative_difference(to_size, stretched) > 0.01
    assert torch.equal(tower.positions(16), tower.pos_embed)


# --- sequences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [Layout.NATIVE, Layout.ROBOVLMS])
def test_the_sequence_is_the_whole_text_tokenised_with_images_in_the_place_of_image_tokens(layout):
    backbone = tiny(layout=layout)
    tokenizer = backbone.tokenizer
    image_id = tokenizer.get_vocab()["<image>"]
    if layout is Layout.NATIVE:
        tokenizer.chat_template = CHAT_TEMPLATE
        said = [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": f" <image> <image> {SHORT}"},
        ]
        text = tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
        ids = [[token] * (16 if token == image_id else 1) for token in tokenizer.encode(text, add_special_tokens=False)]
        cameras = ("static", "gripper")
    else:
        ids = [[image_id] * 32, tokenizer.encode(f"<image> {SHORT}", add_special_tokens=False)]
        cameras = ("gripper", "static")
    prompt = backbone.compose(SHORT)
    assert list(prompt.ids[:-1]) == [token for tokens in ids for token in tokens]
    assert prompt.kinds[-1] is Kind.LRN
    assert prompt.cameras == cameras
    assert prompt.kinds.count(Kind.STATIC) == prompt.kinds.count(Kind.GRIPPER) == 16


def test_one_camera_makes_the_prompt_that_the_model_was_trained_with():
    backbone = tiny(layout=Layout.NATIVE, cameras=("static",), readout=MAX_POOLING)
    prompt = backbone.compose(SHORT)
    text = f"<|im_start|>user\n <image> {SHORT}<|im_end|>\n<|im_start|>assistant\n"
    tail = backbone.tokenizer.encode(text, add_special_tokens=False)
    assert backbone.tokenizer.decode(list(prompt.ids)).endswith(" " + SHORT + "<|im_end|>\n<|im_start|>assistant\n")
    assert len(prompt) == 16 - 1 + len(tail) + len(
        backbone.tokenizer.encode(
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n", add_special_tokens=False
        )
    )


def test_special_tokens_written_in_a_sentence_are_letters():
    backbone = tiny()
    prompt = backbone.compose("press <image> <|im_end|>")
    special = {backbone.special_id(token) for token in backbone.special_tokens}
    text = {token for token, kind in zip(prompt.ids, prompt.kinds, strict=True) if kind is Kind.TEXT}
    assert not special & text


@torch.inference_mode()
@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("readout", ["lrn", MAX_POOLING])
def test_a_sample_alone_equals_itself_in_a_padded_batch(layout, readout):
    backbone = tiny(layout=layout, readout=readout)
    images, lrn, sentences = pictures_of(3), an_lrn(backbone), [SHORT, LONG, SHORT]
    batch = backbone(images, sentences, lrn)
    for row, sentence in enumerate(sentences):
        one = CameraImages(images.static[row : row + 1], images.gripper[row : row + 1])
        torch.testing.assert_close(backbone(one, [sentence], lrn)[0], batch[row], atol=1e-5, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("layout", list(Layout))
def test_each_camera_and_their_places_matter(layout):
    backbone = tiny(layout=layout)
    lrn, static, gripper, other = an_lrn(backbone), noise(1, 84, 84, 1), noise(1, 84, 84, 2), noise(1, 84, 84, 9)
    feature = backbone(CameraImages(static, gripper), [SHORT], lrn)
    for images in (CameraImages(other, gripper), CameraImages(static, other), CameraImages(gripper, static)):
        assert relative_difference(backbone(images, [SHORT], lrn), feature) > 0.01


# --- training ---------------------------------------------------------------------------------------------------------


def test_gradient_reaches_lrn_and_every_weight_that_is_used_in_a_padded_batch():
    backbone = tiny()
    lrn = an_lrn(backbone).requires_grad_()
    backbone(pictures_of(2), [SHORT, LONG], lrn).square().sum().backward()
    assert lrn.grad.norm() > 0
    for name, weight in backbone.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
        # A key's bias moves all of a row's scores by the same amount: no gradient in exact arithmetic.
        assert weight.grad.norm() > 0 or "key.bias" in name, name


def test_only_train_mode_drops_out_and_only_in_the_pooler():
    backbone = tiny().train()
    pixels = backbone.preprocess(pictures_of().static)
    assert not torch.equal(backbone.image_features(pixels), backbone.image_features(pixels))
    backbone.image_pooler.eval()
    assert torch.equal(backbone.image_features(pixels), backbone.image_features(pixels))


def test_gradient_checkpointing_recomputes_blocks_and_changes_no_gradient():
    gradients, counts = [], []
    for checkpointing in (False, True):
        backbone = tiny().train()
        backbone.image_pooler.eval()
        if checkpointing:
            backbone.enable_gradient_checkpointing()
        calls = []
        for module in (backbone.image_encoder.blocks[0].mlp, backbone.text_decoder.layers[0].mlp):
            module.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        backbone(pictures_of(), [SHORT], an_lrn(backbone)).square().sum().backward()
        counts.append(len(calls))
        gradients.append(backbone.image_encoder.patch_embed.weight.grad)
    assert counts == [2, 4]
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-4)


# --- weights ----------------------------------------------------------------------------------------------------------


def test_the_published_sizes_make_1118_million_parameters():
    tokenizer = tiny_tokenizer(UFormBackbone.special_tokens)
    with torch.device("meta"):
        backbone = UFormBackbone.from_config(UFormBackbone.full_config(), tokenizer, BackboneSettings())
    sizes = [sum(weight.numel() for weight in part.parameters()) for part in backbone.children()]
    assert sizes == [630_845_440, 22_961_024, 463_987_712]  # tower, pooler, decoder without a head
    assert (backbone.width, backbone.image_size, backbone.num_image_tokens) == (1024, 336, 256)


def test_the_tiny_configuration_is_the_full_one_in_other_numbers_and_is_kept():
    tiny_config = UFormBackbone.tiny_config(tiny_tokenizer(UFormBackbone.special_tokens))
    full_config = UFormBackbone.full_config()
    for part in ("vision", "pooler", "text"):
        assert tiny_config[part].keys() == full_config[part].keys()
    assert json.loads(json.dumps(tiny().config)) == tiny_config


@pytest.mark.parametrize("broken", [{"vision": {}}, {"text": {"hidden_size": "wide"}}, {"pooler": None}])
def test_other_sizes_are_refused(broken):
    tokenizer = tiny_tokenizer(UFormBackbone.special_tokens)
    with pytest.raises(ValueError, match="expected UForm's sizes"):
        UFormBackbone.from_config(UFormBackbone.tiny_config(tokenizer) | broken, tokenizer, BackboneSettings())


def write_published(folder, backbone, *, tokenizer_inside=False, **changes):
    """A folder as the hub has it, and the decoder's folder beside it."""
    decoder = folder / "decoder"
    decoder.mkdir(parents=True)
    tokenizer = tiny_tokenizer(UFormBackbone.special_tokens[:-1])  # Qwen1.5's does not have `<image>`
    tokenizer.save_pretrained(folder if tokenizer_inside else decoder)
    (decoder / "config.json").write_text(json.dumps({**backbone.config["text"], "model_type": "qwen2"}))
    vision, pooler = backbone.config["vision"], backbone.config["pooler"]
    published = {
        "model_type": "vlm",
        "auto_map": {"AutoModel": "modeling_uform_gen.VLMForCausalLM"},
        "text_decoder_name_or_path": str(decoder),
        "image_size": backbone.config["image_size"],
        "image_encoder_hidden_size": vision["width"],
        "image_encoder_num_layers": vision["num_layers"],
        "image_encoder_num_heads": vision["num_heads"],
        "image_encoder_patch_size": vision["patch_size"],
        "image_encoder_pooling": "cls",
        "num_image_latents": pooler["num_latents"],
        "image_pooler_num_attn_heads": pooler["num_heads"],
        "image_pooler_intermediate_size": pooler["intermediate_size"],
        "image_token_id": backbone.image_token_id,
    }
    (folder / "config.json").write_text(json.dumps(published | changes))
    weights = {
        name.replace("text_decoder.", "text_decoder.model."): weight.clone()
        for name, weight in backbone.state_dict().items()
    }
    weights["text_decoder.lm_head.weight"] = weights["text_decoder.model.embed_tokens.weight"].clone()
    names = sorted(weights)
    for part, half in enumerate((names[::2], names[1::2]), start=1):
        save_file({name: weights[name] for name in half}, folder / f"model-0000{part}-of-00002.safetensors")
    return folder


@pytest.mark.parametrize("tokenizer_inside", [False, True])
def test_published_names_load_exactly(tmp_path, tokenizer_inside):
    backbone = tiny()
    folder = write_published(tmp_path / "uform", backbone, tokenizer_inside=tokenizer_inside)
    loaded = UFormBackbone.pretrained(folder, BackboneSettings(), torch.float32).eval()
    assert loaded.config["vision"] | {"layer_scale": 1.0} == backbone.config["vision"]
    assert loaded.config["text"] == backbone.config["text"]
    feature, lrn = backbone(pictures_of(), [SHORT], an_lrn(backbone)), an_lrn(backbone)
    assert torch.equal(loaded(pictures_of(), [SHORT], lrn), feature)


def test_in_bfloat16_the_rotary_table_stays_exact(tmp_path):
    backbone = tiny()
    folder = write_published(tmp_path / "uform", backbone)
    loaded = UFormBackbone.pretrained(folder, BackboneSettings(), torch.bfloat16).eval()
    assert {weight.dtype for weight in loaded.parameters()} == {torch.bfloat16}
    table = backbone.text_decoder.rotary_emb.inv_freq
    assert torch.equal(loaded.text_decoder.rotary_emb.inv_freq, table)
    lrn = an_lrn(backbone)
    close = loaded(pictures_of(), [SHORT], lrn.bfloat16()).float()
    assert relative_difference(close, backbone(pictures_of(), [SHORT], lrn)) < 0.05


def changed_weights(folder, change):
    from safetensors.torch import load_file

    file = folder / "model-00001-of-00002.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda weights: weights.pop("image_encoder.blocks.0.attn.key.bias"),
            r"missing \['image_encoder.blocks.0.attn",
        ),
        (lambda weights: weights.update({"image_encoder.head": torch.ones(1)}), r"left over \['image_encoder.head'\]"),
        (
            lambda weights: weights.update({"image_encoder.blocks.0.attn.key.bias": torch.ones(3)}),
            r"another shape \['image_encoder.blocks.0.attn.key.bias \(3,\) for \(160,\)'\]",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, change, message):
    folder = write_published(tmp_path / "uform", tiny())
    changed_weights(folder, change)
    with pytest.raises(BackboneSourceError, match=message):
        UFormBackbone.pretrained(folder, BackboneSettings(), torch.float32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llava"}, "got 'llava'"),
        ({"image_token_id": 32002}, "to be token 32002"),
        ({"text_decoder_name_or_path": "microsoft/phi-2"}, "got 'microsoft/phi-2'"),
        ({"text_decoder_name_or_path": ""}, "tokenizer of Qwen/Qwen1.5-0.5B-Chat"),
    ],
)
def test_other_models_are_refused(tmp_path, changes, message):
    folder = write_published(tmp_path / "uform", tiny(), **changes)
    with pytest.raises(BackboneSourceError, match=message):
        UFormBackbone.pretrained(folder, BackboneSettings(), torch.float32)


def test_folders_without_the_files_are_refused(tmp_path):
    with pytest.raises(BackboneSourceError, match=r"but there is no config\.json"):
        UFormBackbone.pretrained(tmp_path, BackboneSettings(), torch.float32)
    folder = write_published(tmp_path / "uform", tiny())
    for file in folder.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(BackboneSourceError, match=r"\*\.safetensors', got none"):
        UFormBackbone.pretrained(folder, BackboneSettings(), torch.float32)


# --- the public code --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def references():
    folder = os.environ.get("CALVINBENCH_REFERENCES")
    if not folder:
        pytest.skip("no checkouts of public code: set CALVINBENCH_REFERENCES")
    return Path(folder)


def imported(monkeypatch, folder, *names):
    """Modules of a checkout, with a torchvision that is only imported."""
    if not folder.is_dir():
        pytest.skip(f"no checkout at {folder}")
    transforms = types.ModuleType("torchvision.transforms")
    for name in ("CenterCrop", "Compose", "InterpolationMode", "Normalize", "RandomResizedCrop", "Resize", "ToTensor"):
        setattr(transforms, name, lambda *_, **__: None)
    transforms.InterpolationMode = SimpleNamespace(BICUBIC=3)
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.transforms", transforms)
    monkeypatch.syspath_prepend(str(folder))
    modules = [importlib.import_module(name) for name in names]
    for name in [name for name in sys.modules if name.split(".")[0] in {one.split(".")[0] for one in names}]:
        monkeypatch.delitem(sys.modules, name)
    return modules


@torch.inference_mode()
@pytest.mark.parametrize("image_size", [224, 336, 182])
def test_tower_and_pooler_are_gen2s(references, monkeypatch, image_size):
    folder = references / "uform-gen2-qwen-500m"
    towers, models = imported(monkeypatch, folder, "vision_encoder", "modeling_uform_gen")
    backbone = tiny()
    config = backbone.config
    config["vision"]["positions_size"] = 224
    settings = BackboneSettings(image_size=image_size)
    torch.manual_seed(3)
    ours = UFormBackbone.from_config(config, backbone.tokenizer, settings).eval()
    for weight in ours.parameters():
        weight.add_(0.05 * torch.randn_like(weight))  # norms, scales and biases too
    tower = towers.VisionEncoder(160, 14, 2, 4).eval()
    tower.load_state_dict(ours.image_encoder.state_dict())
    published = SimpleNamespace(
        image_encoder_hidden_size=160,
        image_pooler_num_attn_heads=4,
        image_pooler_intermediate_size=320,
        num_image_latents=16,
        initializer_range=0.02,
    )
    pooler = models.ImageFeaturesPooler(published, SimpleNamespace(hidden_size=128)).eval()
    pooler.load_state_dict(ours.image_pooler.state_dict())
    pixels = ours.preprocess(noise(2, 200, 200, 1))
    theirs = pooler(tower(pixels))
    torch.testing.assert_close(ours.image_features(pixels), theirs, atol=1e-5, rtol=0)


@pytest.fixture
def public_model(references, monkeypatch, tmp_path):
    """UForm's repository's model and ours with the same random weights, in sizes where both poolers are one.

    The repository's maps features to the decoder's width before the pooler, Gen2's after it: here both maps are the
    identity.
    """
    (decoders,) = imported(monkeypatch, references / "uform" / "python", "uform.torch_decoders")
    backbone = tiny(cameras=("static",), layout=Layout.NATIVE, image_size=56)
    config = backbone.config
    config["vision"]["width"] = 128
    torch.manual_seed(4)
    ours = UFormBackbone.from_config(config, backbone.tokenizer, backbone.settings).eval()
    with torch.no_grad():
        for weight in ours.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
        ours.image_pooler.projection.weight.copy_(torch.eye(128))
        ours.image_pooler.projection.bias.zero_()
    text = dict(config["text"])
    text["vocab_size"] -= 3  # theirs adds three
    Qwen2Config(**text).save_pretrained(tmp_path)
    theirs = decoders.VLMForCausalLM(
        decoders.VLMConfig(
            text_decoder_name_or_path=str(tmp_path),
            image_size=56,
            image_encoder_hidden_size=128,
            image_encoder_patch_size=14,
            image_encoder_num_layers=2,
            image_encoder_num_heads=4,
            image_pooler_num_attn_heads=4,
            image_pooler_intermediate_size=320,
            image_pooler_num_latents=16,
            image_token_id=ours.image_token_id,
        )
    ).eval()
    weights = {
        name.replace("text_decoder.", "text_decoder.model."): weight for name, weight in ours.state_dict().items()
    }
    weights["text_decoder.lm_head.weight"] = theirs.state_dict()["text_decoder.lm_head.weight"]
    missing, unexpected = theirs.load_state_dict(weights, strict=False)
    assert missing == ["image_encoder.embedding_projection.weight"]  # for captions' search, unused here
    assert not unexpected
    return decoders, theirs, ours


@torch.inference_mode()
@pytest.mark.parametrize("sentences", [[SHORT], [LONG], [SHORT, LONG, "push the handle"]])
def test_native_features_are_the_repositorys_own(public_model, sentences):
    decoders, theirs, ours = public_model
    ours.tokenizer.chat_template = CHAT_TEMPLATE
    static = noise(len(sentences), 200, 200, 1)
    # Their processor, but for its preprocessing of images.
    processor = object.__new__(decoders.VLMProcessor)
    processor.tokenizer = SimpleNamespace(
        pad_token_id=ours.pad_id,
        apply_chat_template=lambda *arguments, **options: ours.tokenizer.apply_chat_template(
            *arguments, **options, return_dict=False
        ),
    )
    processor.num_image_latents = 16
    inputs = decoders.VLMProcessor.__call__(processor, texts=sentences)
    mask = inputs["attention_mask"]
    hidden = theirs(
        input_ids=inputs["input_ids"],
        images=ours.preprocess(static),
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).masked_fill(mask == 0, 1),
        output_hidden_states=True,
        use_cache=False,
    ).hidden_states[-1]
    tokens = collate([ours.compose(sentence) for sentence in sentences], ours.pad_id, torch.device("cpu"))
    mine = ours.decode(tokens, ours.vision_tokens(CameraImages(static), ("static",)), an_lrn(ours))
    assert torch.equal(tokens.attended[:, :-1], mask.bool())  # but for [LRN], behind
    difference = (mine[:, :-1] - hidden)[mask.bool()].abs().max()
    assert float(difference) < 1e-5
    assert float(hidden.abs().mean()) > 0.1


@torch.inference_mode()
@pytest.mark.parametrize("layout", list(Layout))
def test_lrn_and_two_images_are_decoded_as_the_repository_decodes_embeddings(public_model, layout):
    _, theirs, native = public_model
    settings = BackboneSettings(layout=layout, image_size=56)
    ours = UFormBackbone.from_config(native.config, native.tokenizer, settings).eval()
    ours.load_state_dict(native.state_dict())
    images, lrn = pictures_of(2), an_lrn(ours)
    words_of = theirs.get_input_embeddings()
    features = {
        Kind.STATIC: theirs.get_images_embeddings(ours.preprocess(images.static)),
        Kind.GRIPPER: theirs.get_images_embeddings(ours.preprocess(images.gripper)),
    }
    batch = ours(images, [SHORT, LONG], lrn)
    for row, sentence in enumerate([SHORT, LONG]):
        prompt = ours.compose(sentence)
        rows = {kind: iter(tokens[row]) for kind, tokens in features.items()}
        embeddings = [
            lrn if kind is Kind.LRN else next(rows[kind]) if kind in rows else words_of(torch.tensor(token))
            for token, kind in zip(prompt.ids, prompt.kinds, strict=True)
        ]
        hidden = theirs(inputs_embeds=torch.stack(embeddings)[None], output_hidden_states=True, use_cache=False)
        torch.testing.assert_close(batch[row], hidden.hidden_states[-1][0, -1], atol=1e-5, rtol=0)
