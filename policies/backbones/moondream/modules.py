"""The parts of Moondream: transformers' SigLIP tower and Phi decoder with Moondream's numbers, and its projection."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import PhiConfig, PhiModel, SiglipVisionConfig, SiglipVisionModel


class TwiceProjection(nn.Module):
    """Two linear layers with a tanh-GELU between. Each token's features enter twice.

    Upstream concatenates the features of the whole image with those of its pieces, joined and pooled to the same grid.
    An image that fits the tower has no pieces, and both are the same.
    """

    def __init__(self, vision_dim: int, hidden_dim: int, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(2 * vision_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, width)

    def forward(self, features: Float[Tensor, "*batch vision_dim"]) -> Float[Tensor, "*batch width"]:
        """Tokens for the decoder."""
        twice = torch.cat([features, features], dim=-1)  # (*batch, 2 vision_dim)
        hidden: Tensor = self.fc1(twice)
        projected: Tensor = self.fc2(functional.gelu(hidden, approximate="tanh"))
        return projected


def make_vision_tower(numbers: Mapping[str, Any]) -> SiglipVisionModel:
    """SigLIP's ViT without its pooling head."""
    config = SiglipVisionConfig(**numbers, hidden_act="gelu_pytorch_tanh", vision_use_head=False)
    return SiglipVisionModel(config)


def make_decoder(numbers: Mapping[str, Any]) -> PhiModel:
    """Phi-1.5 without its head."""
    return PhiModel(PhiConfig(**numbers, hidden_act="gelu_new", qk_layernorm=False))


def require_numbers(config: Mapping[str, Any], full: Mapping[str, Any]) -> None:
    """Raises an error for a configuration whose names differ from those of the published model.

    Args:
        config: The configuration.
        full: The published model's configuration.

    Raises:
        ValueError: A part or a number is missing or unknown.
    """
    came, expected = _names(config), _names(full)
    if came != expected:
        raise ValueError(
            f"expected the numbers of moondream in the configuration, but missing are {sorted(expected - came)}, "
            f"and unknown are {sorted(came - expected)}. Start from MoondreamBackbone.full_config() and change only "
            "its numbers."
        )


def _names(config: Mapping[str, Any]) -> set[str]:
    """`part.number` for each number."""
    names = set()
    for part, numbers in config.items():
        if isinstance(numbers, Mapping):
            names |= {f"{part}.{name}" for name in numbers}
        else:
            names.add(part)
    return names
