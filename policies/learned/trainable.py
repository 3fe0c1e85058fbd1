"""Which parameters are trained: applies the settings, counts the parameters, and merges adapters afterwards."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from calvinbench.policies.backbones.settings import LRN_READOUT
from calvinbench.policies.learned.trainable_parts import TrainableParts
from calvinbench.policies.learned.vlm_lstm import VLMLSTM

__all__ = [
    "GROUPS",
    "GroupCount",
    "MissingPackageError",
    "TrainableParts",
    "apply_trainable_parts",
    "count_parameters",
    "grouped_parameters",
    "merge_adapters",
]

GROUPS = ("text embedding", "connector", "vision", "language", "[LRN]", "proprioception", "head")
"""Groups of parameters. A parameter that two parts share belongs to the first of them."""
_LORA_MARK = "lora_"
_log = logging.getLogger(__name__)


class MissingPackageError(ImportError, ValueError):
    """A setting needs a package that is not installed."""


@dataclass(frozen=True, slots=True)
class GroupCount:
    """Number of parameters of a group."""

    total: int
    trained: int


def apply_trainable_parts(model: VLMLSTM, parts: TrainableParts) -> None:
    """Freezes parts of the model, adds adapters and turns on gradient checkpointing, as the settings say.

    Args:
        model: The model. Adapters are added to its backbone.
        parts: The settings.

    Raises:
        MissingPackageError: The settings ask for adapters, and peft is not installed.
    """
    follows = not parts.freeze_backbone and not parts.lora_enable
    is_trained = {
        "text embedding": follows if parts.train_text_embedding is None else parts.train_text_embedding,
        "vision": follows if parts.train_vision is None else parts.train_vision,
        "connector": follows if parts.train_connector is None else parts.train_connector,
        "language": follows,
        "[LRN]": model.backbone.settings.readout == LRN_READOUT,
        "proprioception": True,
        "head": True,
    }
    if parts.lora_enable:
        _add_adapters(model, parts)
    for name, parameters in grouped_parameters(model).items():
        for parameter_name, parameter in parameters.items():
            adapts = _LORA_MARK in parameter_name
            parameter.requires_grad_(is_trained[name] or adapts or _is_trained_bias(name, parameter_name, parts))
    model.train(model.training)  # frozen parts stay in eval mode
    if parts.gradient_checkpointing:
        model.backbone.enable_gradient_checkpointing()
        if not checkpointing_saves_memory(model):
            _log.warning(
                "gradient_checkpointing has no effect: no gradient passes through the layers of %s in this setup, so "
                "they keep nothing for the backward pass. Remove it.",
                model.backbone.name,
            )


def checkpointing_saves_memory(model: VLMLSTM) -> bool:
    """Whether gradient checkpointing can save memory with the parts that are trained.

    It can if a gradient passes through layers of the VLM, either to their own weights or to the input of the first
    layer. A frozen VLM still passes [LRN]'s gradient through its language model.
    """
    if next(iter(model.backbone.recomputable_layers()), None) is None:
        return False
    trained = {name for name, count in count_parameters(model).items() if count.trained}
    enters = {"text embedding"} | ({"[LRN]", "connector"} if model.backbone.lrn_passes_layers else set())
    return bool(trained & ({"vision", "language"} | enters))


def grouped_parameters(model: VLMLSTM) -> dict[str, dict[str, nn.Parameter]]:
    """Each parameter of the model once, by group and name."""
    parts = model.backbone.parts
    modules: Mapping[str, Iterable[nn.Module]] = {
        "text embedding": (parts.text_embedding,),
        "connector": parts.connector,
        "vision": parts.vision,
        "language": parts.language,
        "[LRN]": (model.lrn,),
        "proprioception": () if model.robot_encoder is None else (model.robot_encoder,),
        "head": (model.head,),
    }
    group_of = {
        id(parameter): name
        for name in reversed(GROUPS)
        for module in modules[name]
        for parameter in module.parameters()
    }
    grouped: dict[str, dict[str, nn.Parameter]] = {name: {} for name in GROUPS}
    for name, parameter in model.named_parameters():
        if id(parameter) not in group_of:
            raise ValueError(f"expected every parameter to be in a part of {model.backbone.name}, but '{name}' is not.")
        grouped[group_of[id(parameter)]][name] = parameter
    return grouped


def count_parameters(model: VLMLSTM) -> dict[str, GroupCount]:
    """Number of parameters of each group, and how many of them are trained."""
    return {
        name: GroupCount(
            sum(parameter.numel() for parameter in parameters.values()),
            sum(parameter.numel() for parameter in parameters.values() if parameter.requires_grad),
        )
        for name, parameters in grouped_parameters(model).items()
    }


def _add_adapters(model: VLMLSTM, parts: TrainableParts) -> None:
    """Adds low-rank adapters to every linear layer of the language model."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingPackageError(
            "expected peft for lora_enable, found none. Install it: pip install 'peft>=0.17'."
        ) from error
    for module in model.backbone.parts.language:
        if any(_LORA_MARK in name for name, _ in module.named_parameters()):
            continue
        linear = [name for name, inner in module.named_modules() if isinstance(inner, nn.Linear) and name]
        config = LoraConfig(
            r=parts.lora_r,
            lora_alpha=parts.lora_alpha,
            lora_dropout=parts.lora_dropout,
            bias=parts.lora_bias,  # type: ignore[arg-type]
            target_modules=linear,
        )
        inject_adapter_in_model(config, module)


def merge_adapters(model: VLMLSTM) -> None:
    """Adds each adapter's product to the weight that it adapts, and puts the plain layer in its place.

    Raises:
        ValueError: A weight is shared with a layer that has no adapter, such as the table of embeddings.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    # Shared parameters are counted each time.
    counts = Counter(parameter.data_ptr() for _, parameter in model.named_parameters(remove_duplicate=False))
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if not isinstance(layer, BaseTunerLayer):
                continue
            adapted: Any = layer
            plain = adapted.get_base_layer()
            if counts[plain.weight.data_ptr()] > 1:
                raise ValueError(
                    f"expected weights that one layer uses, but that of '{name}' is shared with another layer, which "
                    "the adapter must not change. Use the checkpoint as it is."
                )
            with torch.no_grad():
                adapted.merge()
            setattr(parent, name, plain)


def _is_trained_bias(group: str, name: str, parts: TrainableParts) -> bool:
    """Whether this is a bias of the language model that is trained with the adapters."""
    if not parts.lora_enable or group != "language" or not name.endswith("bias"):
        return False
    return parts.lora_bias == "all" or (parts.lora_bias == "lora_only" and "base_layer" in name)
