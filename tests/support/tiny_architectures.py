"""Every image-text-to-text architecture of transformers with numbers made small, and what becomes of it under `hf:`."""

import json
from collections.abc import Iterator
from typing import Any

import torch
from transformers import AutoConfig, AutoModel
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from calvinbench.policies.backbones.hub.hub import HubBackbone
from calvinbench.policies.backbones.hub.probe import require_usable
from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.weights.sources import BackboneSourceError

NOT_MADE = "not made small here"
WORKS = "works"
MAX_PARAMETERS = 50_000_000
SMALL = {
    "hidden_size": 64,
    "d_model": 64,
    "embed_dim": 64,
    "n_embd": 64,
    "intermediate_size": 128,
    "ffn_dim": 128,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_layers": 2,
    "depth": 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "num_attention_heads": 4,
    "num_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 512,
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
    "image_token_id": 5,
    "image_token_index": 5,
    "video_token_id": 6,
    "initializer_range": 0.08,
    "cross_attention_frequency": 1,
}


def architectures() -> Iterator[str]:
    """Model types, as transformers maps them."""
    yield from MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES


def small_config(model_type: str) -> Any:
    """A configuration with small numbers; whatever error transformers raises where they do not go together."""
    numbers = json.loads(AutoConfig.for_model(model_type).to_json_string(use_diff=False))
    return AutoConfig.for_model(model_type, **_shrunk(numbers))


def verdict(model_type: str) -> str:
    """`works`, `refused: ...` or `not made small here: ...`; any other error passes."""
    try:
        torch.manual_seed(0)
        config = small_config(model_type)
        with torch.device("meta"):
            num_parameters = sum(weight.numel() for weight in AutoModel.from_config(config).parameters())
        if num_parameters > MAX_PARAMETERS:
            return f"{NOT_MADE}: {num_parameters // 1_000_000} million parameters"
        model = AutoModel.from_config(config)
    except Exception as error:  # noqa: BLE001  of transformers, whatever it is
        return f"{NOT_MADE}: {type(error).__name__}"
    try:
        backbone = HubBackbone(model, tiny_tokenizer(("<image>",)), BackboneSettings())
        require_usable(backbone, backbone._own_inputs)
    except BackboneSourceError as error:
        return f"refused: {str(error).partition(': ')[2].partition('. Name another')[0] or error}"
    return WORKS


def _shrunk(numbers: Any) -> Any:
    small = {}
    for key, value in numbers.items():
        if key in ("model_type", "transformers_version", "architectures", "dtype"):
            continue
        if isinstance(value, dict):
            inner = _shrunk(value)
            if "model_type" in value:
                inner["model_type"] = value["model_type"]
            small[key] = inner
        elif key in SMALL and isinstance(value, int | float) and not isinstance(value, bool):
            small[key] = SMALL[key]
        elif key in SMALL and isinstance(value, list) and key in ("image_size", "patch_size"):
            small[key] = [SMALL[key]] * len(value)
        elif key == "mrope_section":
            small[key] = [2, 3, 3]
        elif key not in ("layer_types", "mlp_layer_types", "no_rope_layers", "moe_layers"):
            small[key] = value
    return small
