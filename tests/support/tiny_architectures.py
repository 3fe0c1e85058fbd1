"""Every image-text-to-text architecture of transformers in small form, and whether `hf:` can use it.

One rule makes the numbers small. `RECIPES` holds what one architecture needs beside it. The tokenizer has the image
tokens that the configuration names, as the published tokenizer of that model has them.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from calvinbench.policies.backbones.hub.hub import HubBackbone
from calvinbench.policies.backbones.hub.probe import require_usable
from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.weights.sources import BackboneSourceError

WORKS, NAMED, REFUSED, NOT_TRIED = "works", "named backbone", "refused", "not tried"
MAX_PARAMETERS = 300_000_000
SMALL = {
    "hidden_size": 64,
    "text_hidden_size": 64,
    "d_model": 64,
    "embed_dim": 64,
    "n_embd": 64,
    "intermediate_size": 128,
    "ffn_dim": 128,
    "encoder_ffn_dim": 128,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_layers": 2,
    "depth": 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "num_attention_heads": 4,
    "encoder_attention_heads": 4,
    "num_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 640,
    "image_size": 56,
    "patch_size": 14,
    "num_experts": 2,
    "num_local_experts": 2,
    "n_routed_experts": 2,
    "num_experts_per_tok": 1,
    "out_hidden_size": 64,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.08,
    "cross_attention_frequency": 1,
}
DROPPED = ("layer_types", "mlp_layer_types", "no_rope_layers", "moe_layers", "per_layer_config")
"""One entry a layer: transformers makes them anew for the smaller number of layers."""
IMAGE_TOKENS = {
    "image_token_id": "<image>",
    "image_token_index": "<image>",
    "video_token_id": "<video>",
    "video_token_index": "<video>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
    "image_start_token_id": "<|begin_of_image|>",
    "image_end_token_id": "<|end_of_image|>",
    "video_start_token_id": "<|begin_of_video|>",
    "video_end_token_id": "<|end_of_video|>",
    "boi_token_index": "<start_of_image>",
    "eoi_token_index": "<end_of_image>",
    "boi_token_id": "<start_of_image>",
    "eoi_token_id": "<end_of_image>",
}
"""Keys of configurations that name a token, and the token's name in the small tokenizer."""
MARKS = {
    "idefics2": ("<fake_token_around_image>",),
    "idefics3": ("<fake_token_around_image>", "<global-img>"),
    "smolvlm": ("<fake_token_around_image>", "<global-img>"),
    "internvl": ("<img>", "</img>"),
    "qianfan_ocr": ("<img>", "</img>"),
}
"""Tokens around an image that no key of the configuration names."""
_QWEN3 = {"vision_config": {"deepstack_visual_indexes": [0], "num_position_embeddings": 64}}
_ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
_HALF_ROPE = _ROPE | {"mrope_section": [1, 1, 2], "partial_rotary_factor": 0.5}
_MROPE = {"text_config": {"rope_parameters": _ROPE}}
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "aria": {"projector_patch_to_query_dict": {"16": 4}},
    "cosmos3_omni": _QWEN3,
    "gemma3": {"mm_tokens_per_image": 4},
    "dots3_note": {"text_config": {"num_key_value_heads": 4}},
    "glm46v": _MROPE,
    "glm4v": _MROPE,
    "glm4v_moe": {"text_config": {"rope_parameters": _HALF_ROPE}},
    "glm_ocr": _MROPE,
    "glmga": _MROPE,
    "glm5_next": {"text_config": {"num_key_value_heads": 4, "linear_num_heads": 4, "linear_head_dim": 16}},
    "llama4": {
        "vision_config": {
            "intermediate_size": 256,
            "projector_input_dim": 64,
            "projector_output_dim": 64,
            "vision_output_dim": 64,
        }
    },
    "molmo2": {"adapter_config": {"vision_feature_layers": [-1, -2], "vision_feature_layer": [1, 0]}},
    "qwen2_5_vl": _MROPE | {"vision_config": {"fullatt_block_indexes": [1]}},
    "qwen2_vl": _MROPE,
    "qwen3_vl": _QWEN3,
    "qwen3_vl_moe": _QWEN3,
    "step3p7": {"text_config": {"sliding_window": 64}},
    "vipllava": {"vision_feature_layers": [-1, -2]},
}
NO_SMALL_FORM = {
    "florence2": "the small image is smaller than a kernel of its vision tower",
    "hunyuan_vl": "its default configuration has no multimodal position sections",
    "unlimited_ocr": "it joins a second vision tower of a fixed width",
}
"""Architectures that only the small numbers make fail."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether `hf:` can use an architecture.

    Attributes:
        result: `works`, `refused`, `named backbone` where another name than `hf:` runs it, or `not tried` where no
            small form was made here.
        reason: Why not; empty where it works.
    """

    result: str
    reason: str = ""


def architectures() -> Iterator[str]:
    """Model types, as transformers maps them."""
    yield from MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES


def small(model_type: str) -> tuple[Any, PreTrainedTokenizerBase]:
    """Configuration and tokenizer in small form.

    Any error of transformers passes where the small numbers do not go together.
    """
    numbers = json.loads(AutoConfig.for_model(model_type).to_json_string(use_diff=False))
    names = {key: name for key, name in IMAGE_TOKENS.items() if key in numbers}
    tokenizer = tiny_tokenizer(("<image>", *names.values(), *MARKS.get(model_type, ())))
    vocabulary = tokenizer.get_vocab()
    numbers = _merged(_shrunk(numbers), RECIPES.get(model_type, {}))
    return AutoConfig.for_model(
        model_type, **numbers | {key: vocabulary[name] for key, name in names.items()}
    ), tokenizer


def verdict(model_type: str) -> Verdict:
    """Makes the small form and asks `hf:` to use it. Only an error that `hf:` should have turned into one passes."""
    try:
        HubBackbone._require_type(model_type, "it")
    except BackboneSourceError as error:
        return _refusal(error)
    if model_type in NO_SMALL_FORM:
        return Verdict(NOT_TRIED, f"no small form: {NO_SMALL_FORM[model_type]}")
    try:
        torch.manual_seed(0)
        config, tokenizer = small(model_type)
        with torch.device("meta"):
            num_parameters = sum(weight.numel() for weight in AutoModel.from_config(config).parameters())
        if num_parameters > MAX_PARAMETERS:
            return Verdict(NOT_TRIED, f"{num_parameters // 1_000_000} million parameters in its small form")
        model = AutoModel.from_config(config)
        _fill_zeros(model)
    except Exception as error:  # noqa: BLE001  of transformers, whatever it is
        if "Unrecognized configuration class" in str(error):
            return Verdict(REFUSED, "transformers' AutoModel has no class for it")
        if isinstance(error, ImportError):
            return Verdict(NOT_TRIED, f"no small form: {' '.join(str(error).split())}"[:90])
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return Verdict(NOT_TRIED, f"no small form: {type(error).__name__}: {lines[-1] if lines else ''}"[:200])
    try:
        backbone = HubBackbone(model, tokenizer, BackboneSettings())
        require_usable(backbone, backbone._own_inputs)
    except BackboneSourceError as error:
        return _refusal(error)
    return Verdict(WORKS)


@torch.no_grad()
def _fill_zeros(model: torch.nn.Module) -> None:
    """Gives numbers to matrices that start at zero, such as Gemma 3's projection: they would hide the images."""
    for weight in model.parameters():
        if weight.ndim > 1 and not weight.any():
            weight.normal_(std=0.08)


def _refusal(error: BackboneSourceError) -> Verdict:
    """The reason in a refusal, without what to do about it."""
    text = str(error)
    if "Write untrained:" in text:
        return Verdict(NAMED, text.rpartition("Write ")[2].replace("...", "FOLDER").partition(" ")[0])
    for end in (". Name another", ". Name a VLM"):
        text = text.partition(end)[0]
    before, colon, reason = text.partition("): ")
    return Verdict(REFUSED, reason if colon else before.rpartition("': ")[2])


def _merged(numbers: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers with a recipe's in their place, in parts too."""
    merged = dict(numbers)
    for key, value in recipe.items():
        merged[key] = _merged(merged.get(key) or {}, value) if isinstance(value, Mapping) else value
    return merged


def _shrunk(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as `SMALL` says, in parts too."""
    shrunk: dict[str, Any] = {}
    for key, value in numbers.items():
        if key in ("model_type", "transformers_version", "architectures", "dtype", *DROPPED):
            continue
        if isinstance(value, dict):
            shrunk[key] = _shrunk(value) | ({"model_type": value["model_type"]} if "model_type" in value else {})
        elif key in SMALL and isinstance(value, int | float) and not isinstance(value, bool):
            shrunk[key] = SMALL[key]
        elif key in ("image_size", "patch_size") and isinstance(value, list):
            shrunk[key] = [SMALL[key]] * len(value)
        else:
            shrunk[key] = [2, 3, 3] if key == "mrope_section" else value
    return shrunk
