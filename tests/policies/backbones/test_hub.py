"""Any VLM of the hub without a file of its own: four architectures, made small and saved as the hub has them."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText

from calvinbench.policies.backbones.check import check_backbone, made_up_images
from calvinbench.policies.backbones.hub.hub import HubBackbone
from calvinbench.policies.backbones.paligemma import PaliGemmaBackbone
from calvinbench.policies.backbones.prompts.prompt import Kind, Layout
from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.weights.sources import BackboneSourceError

SENTENCE = "push the red block to the left"
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.08,
}
TEXT = SIZES | {
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}
QWEN_VISION = {"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": 64}
QWEN_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<|im_start|>", "<|im_end|>")
QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for piece in message['content'] %}"
    "{% if piece['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ piece['text'] }}"
    "{% endif %}{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
PLAIN_TEMPLATE = (
    "{% for message in messages %}User:{% for piece in message['content'] %}"
    "{% if piece['type'] == 'image' %}<image>{% else %}{{ piece['text'] }}{% endif %}{% endfor %}\n{% endfor %}Answer:"
)


def smolvlm():
    tokenizer = tiny_tokenizer(("<image>", "<fake_token_around_image>", "<global-img>"))
    tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer, {
        "model_type": "smolvlm",
        "image_token_id": tokenizer.get_vocab()["<image>"],
        "scale_factor": 2,
        "vision_config": SIZES | {"image_size": 64, "patch_size": 16},
        "text_config": TEXT | {"model_type": "llama", "vocab_size": len(tokenizer)},
    }


def qwen(model_type, vision, text):
    tokenizer = tiny_tokenizer(QWEN_TOKENS)
    tokenizer.chat_template = QWEN_TEMPLATE
    vocabulary = tokenizer.get_vocab()
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
    return tokenizer, {
        "model_type": model_type,
        "vision_config": QWEN_VISION | {"initializer_range": 0.08} | vision,
        "text_config": TEXT | {"vocab_size": len(tokenizer), "rope_parameters": rope} | text,
        "image_token_id": vocabulary["<|image_pad|>"],
        "video_token_id": vocabulary["<|video_pad|>"],
        "vision_start_token_id": vocabulary["<|vision_start|>"],
        "vision_end_token_id": vocabulary["<|vision_end|>"],
    }


def internvl():
    tokenizer = tiny_tokenizer(("<img>", "</img>", "<IMG_CONTEXT>"))
    return tokenizer, {
        "model_type": "internvl",
        "image_token_id": tokenizer.get_vocab()["<IMG_CONTEXT>"],
        "vision_config": SIZES | {"image_size": [56, 56], "patch_size": [14, 14]},
        "text_config": TEXT | {"model_type": "qwen2", "vocab_size": len(tokenizer)},
    }


ARCHITECTURES = {
    "smolvlm": (smolvlm, None),
    "qwen2.5-vl": (lambda: qwen("qwen2_5_vl", {"fullatt_block_indexes": [1], "window_size": 112}, {}), 112),
    "qwen3-vl": (
        lambda: qwen("qwen3_vl", {"deepstack_visual_indexes": [0], "num_position_embeddings": 64}, {"head_dim": 16}),
        128,
    ),
    "internvl": (internvl, None),
}


@pytest.fixture(params=ARCHITECTURES)
def folder(request, tmp_path):
    """A folder as the hub has it: weights, configuration, tokenizer with its chat template, preprocessor."""
    make, image_size = ARCHITECTURES[request.param]
    tokenizer, numbers = make()
    torch.manual_seed(0)
    numbers = dict(numbers)
    AutoModel.from_config(AutoConfig.for_model(numbers.pop("model_type"), **numbers)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    preprocessor = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 1}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return tmp_path, image_size


@pytest.mark.parametrize("layout", [Layout.SEED, Layout.NATIVE])
def test_a_folder_of_the_hub_makes_a_backbone_that_passes(folder, layout):
    place, image_size = folder
    settings = BackboneSettings(layout=layout, image_size=image_size)
    backbone = HubBackbone.pretrained(place, settings, torch.float32)
    check_backbone(backbone)
    assert (backbone.image_mean, backbone.image_std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert backbone.resample == "lanczos"
    prompt = backbone.prompt(SENTENCE)
    assert prompt.cameras == ("static", "gripper")
    assert prompt.kinds.count(Kind.STATIC) == prompt.kinds.count(Kind.GRIPPER) == backbone.num_image_tokens
    assert prompt.kinds[-1] == Kind.LRN


def test_the_chat_template_gives_the_native_prompt(tmp_path):
    tokenizer, numbers = smolvlm()
    backbone = HubBackbone.from_config(numbers, tokenizer, BackboneSettings(layout=Layout.NATIVE))
    prompt = backbone.prompt(SENTENCE)
    text = [token for token, kind in zip(prompt.ids, prompt.kinds, strict=True) if kind == Kind.TEXT]
    frame = ["<fake_token_around_image>", "<global-img>", "<fake_token_around_image>"]
    assert tokenizer.decode(text) == f"User:{''.join(frame * 2)}{SENTENCE}Answer:"


@torch.no_grad()
def test_deeper_features_of_qwen3_go_where_its_own_forward_puts_them():
    make, size = ARCHITECTURES["qwen3-vl"]
    tokenizer, numbers = make()
    torch.manual_seed(0)
    settings = BackboneSettings(layout=Layout.NATIVE, image_size=size)
    backbone = HubBackbone.from_config(numbers, tokenizer, settings).eval()
    images, lrn = made_up_images(1), 0.1 * torch.randn(64)
    ours = backbone(images, [SENTENCE], lrn)
    prompt = backbone.prompt(SENTENCE)
    ids = torch.tensor(
        [[3 if kind == Kind.LRN else token for token, kind in zip(prompt.ids, prompt.kinds, strict=True)]]
    )
    is_vision = torch.tensor([[int(kind in (Kind.STATIC, Kind.GRIPPER)) for kind in prompt.kinds]])
    backbone.parts.text_embedding.weight[3] = lrn
    pixels = torch.cat([backbone.preprocess(images.static), backbone.preprocess(images.of("gripper"))])
    theirs = backbone.model(input_ids=ids, mm_token_type_ids=is_vision, **backbone.image_inputs(pixels))
    torch.testing.assert_close(ours, theirs.last_hidden_state[:, -1], atol=1e-5, rtol=0)


def test_a_model_without_vision_and_a_size_that_it_does_not_take_are_refused(tmp_path):
    tokenizer, numbers = internvl()
    with pytest.raises(BackboneSourceError, match="expected a vision-language model, got LlamaModel"):
        HubBackbone.from_config(TEXT | {"model_type": "llama", "vocab_size": 600}, tokenizer, BackboneSettings())
    with pytest.raises(ValueError, match="expected image_size 56 or none for hf, got 112"):
        HubBackbone.from_config(numbers, tokenizer, BackboneSettings(image_size=112))
    with pytest.raises(ValueError, match="expected a VLM for 'hf', got none"):
        HubBackbone.tiny(torch.Generator())


def test_a_sentence_is_tokenised_with_the_words_around_it_unless_it_names_special_tokens():
    tokenizer, numbers = smolvlm()
    tokenizer.chat_template = PLAIN_TEMPLATE.replace("User:", "User: please, ")
    backbone = HubBackbone.from_config(numbers, tokenizer, BackboneSettings(layout=Layout.NATIVE))
    whole = tokenizer.encode(f"{SENTENCE}Answer:", add_special_tokens=False)
    kinds, ids = backbone.prompt(SENTENCE).kinds, backbone.prompt(SENTENCE).ids
    assert kinds[-1] == Kind.LRN
    assert list(ids[-1 - len(whole) : -1]) == whole
    trick = backbone.prompt("push <image> away")
    assert trick.kinds.count(Kind.STATIC) == backbone.num_image_tokens
    text = [token for token, kind in zip(trick.ids, trick.kinds, strict=True) if kind == Kind.TEXT]
    assert backbone.image_token_id not in text


def saved_folder(
    tmp_path, tokenizer, numbers, preprocessor='{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}'
):
    numbers = dict(numbers)
    AutoModel.from_config(AutoConfig.for_model(numbers.pop("model_type"), **numbers)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    if preprocessor:
        (tmp_path / "preprocessor_config.json").write_text(preprocessor)
    return tmp_path


def test_a_chat_template_in_a_file_of_its_own_is_read(tmp_path):
    tokenizer, numbers = smolvlm()
    tokenizer.chat_template = None
    folder = saved_folder(tmp_path, tokenizer, numbers)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": PLAIN_TEMPLATE}))
    backbone = HubBackbone.pretrained(folder, BackboneSettings(layout=Layout.NATIVE), torch.float32)
    prompt = backbone.prompt(SENTENCE)
    text = [token for token, kind in zip(prompt.ids, prompt.kinds, strict=True) if kind == Kind.TEXT]
    assert backbone.tokenizer.decode(text).startswith("User:")


def test_a_template_of_text_alone_and_a_missing_preprocessor_are_told(tmp_path):
    tokenizer, numbers = smolvlm()
    tokenizer.chat_template = "{{ 'User:' + messages[0]['content'] }}"
    backbone = HubBackbone.from_config(numbers, tokenizer, BackboneSettings(layout=Layout.NATIVE))
    with pytest.raises(BackboneSourceError, match="a chat template of SmolVLMModel that takes images beside text"):
        backbone.prompt(SENTENCE)
    folder = saved_folder(tmp_path, tokenizer, numbers, preprocessor=None)
    with pytest.raises(BackboneSourceError, match=r"image_mean and image_std in .*config\.json', found none"):
        HubBackbone.pretrained(folder, BackboneSettings(), torch.float32)


def test_what_has_a_backbone_of_its_own_is_sent_there(tmp_path):
    backbone = PaliGemmaBackbone.tiny(torch.Generator().manual_seed(0))
    with pytest.raises(BackboneSourceError, match="Write untrained:paligemma,vlm="):
        HubBackbone.from_config(backbone.config, backbone.tokenizer, BackboneSettings())


def test_code_that_a_folder_brings_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    (tmp_path / "config.json").write_text('{"model_type": "strange", "auto_map": {"AutoConfig": "evil.Config"}}')
    (tmp_path / "evil.py").write_text("raise SystemExit('remote code ran')")
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(BackboneSourceError, match="expected weights, configuration and tokenizer of hf"):
        HubBackbone.pretrained(tmp_path, BackboneSettings(), torch.float32)


# --- folders and architectures that cannot be used --------------------------------------------------------------------


def small_llava():
    tokenizer = tiny_tokenizer(("<image>",))
    return tokenizer, {
        "model_type": "llava",
        "image_token_id": tokenizer.get_vocab()["<image>"],
        "vision_config": SIZES | {"model_type": "clip_vision_model", "image_size": 56, "patch_size": 28},
        "text_config": TEXT | {"model_type": "llama", "vocab_size": len(tokenizer)},
        "vision_feature_layer": -1,
    }


TOWER = SIZES | {"image_size": 56, "patch_size": 28}
REFUSED = {
    "clip": {"text_config": TEXT | {"vocab_size": 400}, "vision_config": TOWER, "projection_dim": 32},
    "blip-2": {
        "vision_config": TOWER,
        "qformer_config": SIZES | {"encoder_hidden_size": 64, "vocab_size": 400},
        "text_config": TEXT | {"model_type": "opt", "vocab_size": 400, "ffn_dim": 64, "word_embed_proj_dim": 64},
        "image_token_index": 5,
    },
    "fuyu": TEXT | {"vocab_size": 400, "patch_size": 28, "text_config": TEXT | {"vocab_size": 400}},
    "git": TEXT | {"vocab_size": 400, "vision_config": TOWER},
}


@pytest.mark.parametrize("model_type", REFUSED)
def test_an_architecture_that_cannot_be_used_is_refused_once_and_when_it_is_made(model_type, tmp_path):
    folder = saved_folder(tmp_path, tiny_tokenizer(("<image>",)), REFUSED[model_type] | {"model_type": model_type})
    with pytest.raises(BackboneSourceError, match=r"expected a (VLM that takes images and text|vision-language model)"):
        HubBackbone.pretrained(folder, BackboneSettings(), torch.float32)


def test_a_feature_that_differs_from_the_models_own_is_refused(tmp_path, monkeypatch):
    folder = saved_folder(tmp_path, *small_llava())
    HubBackbone.pretrained(folder, BackboneSettings(), torch.float32)
    of_model = HubBackbone.image_features
    monkeypatch.setattr(HubBackbone, "image_features", lambda self, pixels: 2 * of_model(self, pixels))
    with pytest.raises(BackboneSourceError, match=r"'llava' .*: its feature differs from its own forward pass by"):
        HubBackbone.pretrained(folder, BackboneSettings(), torch.float32)
    monkeypatch.setattr(HubBackbone, "image_features", lambda self, pixels: 0 * of_model(self, pixels))
    with pytest.raises(BackboneSourceError, match="its feature does not depend on the images"):
        HubBackbone.pretrained(folder, BackboneSettings(), torch.float32)


def test_what_a_folder_lacks_is_said_at_once(tmp_path):
    folder = saved_folder(tmp_path / "whole", *small_llava())
    missing = {
        "config.json": "without config.json",
        "model.safetensors": "without weights",
        "tokenizer.json": "without a tokenizer",
    }
    for name, words in missing.items():
        broken = shutil.copytree(folder, tmp_path / name)
        for file in broken.glob(name.partition("_")[0] if name != "tokenizer.json" else "tokenizer*"):
            file.unlink()
        with pytest.raises(BackboneSourceError, match=words):
            HubBackbone.pretrained(broken, BackboneSettings(), torch.float32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        BackboneSourceError, match=r"without config.json and weights and a tokenizer .it holds: nothing"
    ):
        HubBackbone.pretrained(tmp_path / "empty", BackboneSettings(), torch.float32)
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(BackboneSourceError, match=r"expected weights, .*Copy or download it again"):
        HubBackbone.pretrained(folder, BackboneSettings(), torch.float32)


def test_an_adapter_is_read_with_the_model_that_it_belongs_to(tmp_path):
    tokenizer, numbers = small_llava()
    base = saved_folder(tmp_path / "base", tokenizer, numbers)
    whole = AutoModelForImageTextToText.from_pretrained(base)
    adapted = get_peft_model(whole, LoraConfig(r=2, target_modules=r".*language_model.*q_proj"))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    adapted.save_pretrained(tmp_path / "adapter")
    plain, read = (
        HubBackbone.pretrained(place, BackboneSettings(), torch.float32).eval()
        for place in (base, tmp_path / "adapter")
    )
    frames, lrn = made_up_images(1), torch.ones(64)
    with torch.no_grad():
        merged = HubBackbone(adapted.merge_and_unload().model, tokenizer, BackboneSettings(), read._image_format).eval()
        expected = merged(frames, [SENTENCE], lrn)
        torch.testing.assert_close(read(frames, [SENTENCE], lrn), expected, atol=1e-5, rtol=0)
        assert (plain(frames, [SENTENCE], lrn) - expected).abs().max() > 1e-2


def test_remedy_the_folder_of_an_adapters_model_is_written_into_its_file(tmp_path):
    base = saved_folder(tmp_path / "base", *small_llava())
    adapted = get_peft_model(
        AutoModel.from_pretrained(base), LoraConfig(r=2, target_modules=r".*language_model.*q_proj")
    )
    adapted.save_pretrained(tmp_path / "adapter")
    moved = base.rename(tmp_path / "moved")
    with pytest.raises(BackboneSourceError, match='Write its folder there as "base_model_name_or_path"'):
        HubBackbone.pretrained(tmp_path / "adapter", BackboneSettings(), torch.float32)
    file = tmp_path / "adapter" / "adapter_config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"base_model_name_or_path": str(moved)}))
    HubBackbone.pretrained(tmp_path / "adapter", BackboneSettings(), torch.float32)
    file.write_text(json.dumps(content | {"base_model_name_or_path": str(moved), "r": 2, "target_modules": ["fc1"]}))
    with pytest.raises(BackboneSourceError, match=r"expected in '.*adapter' an adapter of the model in"):
        HubBackbone.pretrained(tmp_path / "adapter", BackboneSettings(), torch.float32)
