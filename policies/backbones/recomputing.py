"""Gradient checkpointing: a layer keeps only its input, and computes the rest again in the backward pass.

transformers' own switch is not used, for two reasons. It works only in train mode, but frozen parts are in eval mode.
And it makes every embedding require a gradient, so that a frozen vision tower keeps activations that nothing reads.
Here each call decides: a layer is computed again if a gradient passes through it, in train or eval mode. Otherwise it
runs unchanged.
"""

import sys
from collections.abc import Iterator
from functools import wraps
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_MARK = "_is_recomputed"


def recompute(layer: nn.Module) -> None:
    """Makes a layer compute its activations again in the backward pass if a gradient passes through it.

    Dropout draws the same numbers again. Calling this a second time has no effect.

    Args:
        layer: Any module whose forward pass has no side effects.
    """
    if getattr(layer, _MARK, False):
        return
    once = type(layer).forward

    @wraps(once)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled() and _passes_gradient(self, args, kwargs):
            return checkpoint(once, self, *args, use_reentrant=False, **kwargs)
        return once(self, *args, **kwargs)

    # Set on the instance as a bound method, so that a deep copy calls its own layer.
    layer.__dict__["forward"] = MethodType(forward, layer)
    setattr(layer, _MARK, True)


def transformers_layers(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of transformers' models inside a module that can be computed again, the innermost ones."""
    layers = sys.modules.get("transformers.modeling_layers")
    if layers is None:  # transformers takes seconds to import, and without it no module can be one of its layers
        return
    kind: type[nn.Module] = layers.GradientCheckpointingLayer
    for inner in module.modules():
        if isinstance(inner, kind) and not any(
            isinstance(child, kind) for child in inner.modules() if child is not inner
        ):
            yield inner


def is_recomputed(layer: nn.Module) -> bool:
    """Whether `recompute` was called for this layer."""
    return bool(getattr(layer, _MARK, False))


def _passes_gradient(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the backward pass reaches this layer's weights or what comes before it."""
    inputs = (*args, *kwargs.values())
    return any(isinstance(value, Tensor) and value.requires_grad for value in inputs) or any(
        parameter.requires_grad for parameter in layer.parameters()
    )
