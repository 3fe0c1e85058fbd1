"""Numbers of OpenFlamingo: of its two models, and of the parts between them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

ConfigT = TypeVar("ConfigT", bound=PreTrainedConfig)


@dataclass(frozen=True, slots=True)
class FlamingoNumbers:
    """Numbers of the added parts. The defaults are those of the published weights.

    Attributes:
        num_latents: Vision tokens of one image.
        num_resampler_blocks: Blocks of the resampler.
        num_heads: Attention heads in the resampler and in cross-attention.
        head_dim: Width of a head.
        feed_forward_factor: Inner width of feed-forward layers, as a multiple of the width.
        layers_per_cross_attention: Cross-attention comes before the last one of each group of this many language
            layers.
        initial_gate: Initial value of the gates, before their tanh. At the published 0, images have no effect until
            training opens the gates.
        initial_gain: Factor of the random weights of linear layers.

    Raises:
        ValueError: A count is below 1.
    """

    num_latents: int = 64
    num_resampler_blocks: int = 6
    num_heads: int = 8
    head_dim: int = 64
    feed_forward_factor: int = 4
    layers_per_cross_attention: int = 2
    initial_gate: float = 0.0
    initial_gain: float = 1.0

    def __post_init__(self) -> None:
        counts = (
            self.num_latents,
            self.num_resampler_blocks,
            self.num_heads,
            self.head_dim,
            self.feed_forward_factor,
            self.layers_per_cross_attention,
        )
        if min(counts) < 1:
            raise ValueError(f"expected counts of at least 1 for Flamingo's parts, got {self}.")

    @property
    def attention_dim(self) -> int:
        """Inner width of attention."""
        return self.num_heads * self.head_dim


def full_numbers() -> dict[str, Any]:
    """The numbers of OpenFlamingo 4B: of CLIP ViT-L/14, of RedPajama-INCITE 3B, and of the parts between them."""
    language = {
        "model_type": "gpt_neox",
        "vocab_size": 50280,
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "max_position_embeddings": 2048,
        "initializer_range": 0.02,
        "use_parallel_residual": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0},
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    vision = {
        "model_type": "clip_vision_model",
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "initializer_factor": 1.0,
    }
    return {"language": language, "vision": vision, **asdict(FlamingoNumbers())}


def tiny_numbers(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Widths of 128 and 96, four layers, two of them with cross-attention, and 16 latents an image of 56 pixels.

    The published standard deviation of 0.02 fits a width of 2560. At 128, it would leave [LRN] nearly unchanged.
    Without the gain, another image would change [LRN] by only 2%.
    """
    full = full_numbers()
    language = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
        "initializer_range": 0.08,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 56,
        "initializer_factor": 2.0,
    }
    joined = {
        "num_latents": 16,
        "num_resampler_blocks": 2,
        "num_heads": 4,
        "head_dim": 32,
        "initial_gate": 0.5,
        "initial_gain": 3.0,
    }
    return full | joined | {"language": full["language"] | language, "vision": full["vision"] | vision}


def known_config(numbers: Mapping[str, Any], kind: type[ConfigT]) -> ConfigT:
    """The configuration of one of the two models.

    Raises:
        ValueError: It belongs to another model.
    """
    if numbers.get("model_type") != kind.model_type:
        raise ValueError(
            f"expected the configuration of a {kind.model_type}, got model type {numbers.get('model_type')}."
        )
    known = AutoConfig.for_model(**numbers)
    if not isinstance(known, kind):
        raise ValueError(f"expected a {kind.__name__}, got a {type(known).__name__}.")
    return known


def numbers_of(model: PreTrainedModel) -> dict[str, Any]:
    """A model's numbers as JSON can write them, such that `known_config` takes them."""
    numbers: dict[str, Any] = json.loads(model.config.to_json_string(use_diff=True))
    return numbers | {"model_type": model.config.model_type}
