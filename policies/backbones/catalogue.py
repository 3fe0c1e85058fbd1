"""The backbones at full size, computed on torch's meta device, which makes models without memory."""

from dataclasses import dataclass

import torch

from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
from calvinbench.policies.backbones.registry import BACKBONES, backbone_class
from calvinbench.policies.backbones.settings import BackboneSettings

WEIGHT_BYTES = 2
"""Bytes of a parameter in 16 bits."""
TRAINING_BYTES = 16
"""Bytes of a parameter in mixed-precision training: weight and gradient in 16 bits; weight and two moments of Adam in
32. Activations are not counted."""
GIB = 2**30


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One backbone at full size.

    Attributes:
        name: Its name in policy specs.
        model: The published model.
        hub: Name of its published weights on the hub; None if they are not there.
        num_parameters: Without a language-modelling head, [LRN] and policy head.
        width: Numbers in the fused feature.
        image_size: Image side in pixels.
        num_image_tokens: Vision tokens per image.
        weights_gib: Memory of the weights in 16 bits.
        training_gib: Memory of weights, gradients and Adam.
        unchecked: What could not be checked here.
    """

    name: str
    model: str
    hub: str | None
    num_parameters: int
    width: int
    image_size: int
    num_image_tokens: int
    weights_gib: float
    training_gib: float
    unchecked: str


def catalogue() -> tuple[CatalogueEntry, ...]:
    """All named backbones at full size. Takes some seconds."""
    return tuple(_entry(name) for name in BACKBONES)


def _entry(name: str) -> CatalogueEntry:
    kind = backbone_class(name)
    with torch.device("meta"):
        backbone = kind.from_config(kind.full_config(), tiny_tokenizer(kind.special_tokens), BackboneSettings())
    num_parameters = sum(parameter.numel() for parameter in backbone.parameters())
    return CatalogueEntry(
        name=name,
        model=kind.model_name,
        hub=kind.hub_name,
        num_parameters=num_parameters,
        width=backbone.width,
        image_size=backbone.image_size,
        num_image_tokens=backbone.num_image_tokens,
        weights_gib=round(num_parameters * WEIGHT_BYTES / GIB, 1),
        training_gib=round(num_parameters * TRAINING_BYTES / GIB, 1),
        unchecked=kind.unchecked,
    )
