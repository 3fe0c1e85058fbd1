"""AdamW over what is trained, and its rate over time, as the settings of training say."""

import math

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from calvinbench.policies.config.optimization import OptimizationSettings
from calvinbench.policies.vlm_lstm import VLMLSTM


def make_optimizer(model: VLMLSTM, settings: OptimizationSettings) -> AdamW:
    """AdamW over the parameters that take gradients, in groups: the VLM's and the new ones (head, [LRN]).

    Weight decay acts on matrices alone, not on biases, norms and [LRN].

    Args:
        model: After `trainable.apply_trainable_parts`.
        settings: Rates and weight decay.

    Raises:
        ValueError: Nothing is trained, or the VLM has a rate of its own and is not trained.
    """
    of_backbone = {id(parameter) for parameter in model.backbone.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in of_backbone, parameter.ndim > 1), []).append(parameter)
    if not groups:
        raise ValueError("expected parameters to train, got a model in which all are frozen.")
    if settings.backbone_learning_rate is not None and not any(is_backbone for is_backbone, _ in groups):
        raise ValueError(
            f"expected no backbone_learning_rate where the VLM is frozen, got {settings.backbone_learning_rate}."
        )
    rate = settings.learning_rate
    backbone_rate = rate if settings.backbone_learning_rate is None else settings.backbone_learning_rate
    return AdamW(
        [
            {
                "params": parameters,
                "lr": backbone_rate if is_backbone else rate,
                "weight_decay": settings.weight_decay if is_matrix else 0.0,
                "name": f"{'VLM' if is_backbone else 'new'}, {'matrices' if is_matrix else 'vectors'}",
            }
            for (is_backbone, is_matrix), parameters in sorted(groups.items(), reverse=True)
        ],
        lr=rate,
    )


def make_schedule(optimizer: AdamW, settings: OptimizationSettings, steps_per_epoch: int) -> LambdaLR:
    """The rate over time: a straight rise, then constant or half a cosine; call its `step` after each optimiser step.

    Args:
        optimizer: From `make_optimizer`.
        settings: Warm-up, schedule and length.
        steps_per_epoch: Optimiser steps in one pass over the data.

    Raises:
        ValueError: The warm-up is longer than the training.
    """
    warmup = round(settings.warmup_epochs * steps_per_epoch) + settings.warmup_steps
    total = settings.max_epochs * steps_per_epoch
    total = total if settings.max_steps is None else min(total, settings.max_steps)
    if warmup > total:
        raise ValueError(f"expected a warm-up of at most the {total} steps of the whole training, got {warmup}.")

    def scale(step: int) -> float:
        if step < warmup:
            return step / warmup
        if settings.schedule == "constant":
            return 1.0
        done = min((step - warmup) / max(total - warmup, 1), 1.0)
        lowest = settings.min_learning_rate_scale
        return lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, scale)
