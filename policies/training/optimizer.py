"""AdamW over the trained parameters, and its learning rate over time."""

import math
from collections.abc import Callable

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from calvinbench.policies.learned.vlm_lstm import VLMLSTM
from calvinbench.policies.training.optimization import OptimizationSettings


def make_optimizer(model: VLMLSTM, settings: OptimizationSettings) -> AdamW:
    """AdamW over the parameters that are trained, in groups: the VLM's and the new ones (head, [LRN]).

    Weight decay applies only to matrices, not to biases, norms and [LRN].

    Args:
        model: After `trainable.apply_trainable_parts`.
        settings: Rates and weight decay.

    Raises:
        ValueError: Nothing is trained, or the VLM has a rate of its own but is not trained.
    """
    of_backbone = {id(parameter) for parameter in model.backbone.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in of_backbone, parameter.ndim > 1), []).append(parameter)
    if not groups:
        raise ValueError("expected parameters to train, but all parameters of the model are frozen.")
    if settings.backbone_learning_rate is not None and not any(is_backbone for is_backbone, _ in groups):
        raise ValueError(
            f"expected no backbone_learning_rate, because the VLM is frozen, got {settings.backbone_learning_rate}."
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


def total_steps(settings: OptimizationSettings, steps_per_epoch: int) -> int:
    """Optimiser steps of a whole training: its epochs, or `max_steps` if that is less."""
    by_epochs = settings.max_epochs * steps_per_epoch
    return by_epochs if settings.max_steps is None else min(by_epochs, settings.max_steps)


def num_warmup_steps(settings: OptimizationSettings, steps_per_epoch: int) -> int:
    """Optimiser steps of the warm-up. Its first step has rate 0 and changes no weight, see `rate_scale`."""
    return round(settings.warmup_epochs * steps_per_epoch) + settings.warmup_steps


def rate_scale(
    settings: OptimizationSettings, steps_per_epoch: int, total: int | None = None
) -> Callable[[int], float]:
    """The factor of the learning rate at a step: a linear rise from 0, then 1 or half a cosine.

    The rate at step `n` of a warm-up of `w` steps is `n / w`, counted from 0. So the first step has rate 0 and changes
    nothing but AdamW's moments, and the last step of the warm-up has `(w - 1) / w` of the full rate. Another count
    would change every training with a warm-up, so it stays.

    Args:
        settings: Warm-up, schedule and length.
        steps_per_epoch: Optimiser steps in one pass over the data.
        total: Where a cosine ends; None for the end of the training.

    Returns:
        A function of the number of steps done.
    """
    warmup = num_warmup_steps(settings, steps_per_epoch)
    end = total_steps(settings, steps_per_epoch) if total is None else total

    def scale(step: int) -> float:
        if step < warmup:
            return step / warmup
        if settings.schedule == "constant":
            return 1.0
        done = min((step - warmup) / max(end - warmup, 1), 1.0)
        lowest = settings.min_learning_rate_scale
        return lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * done))

    return scale


def make_schedule(optimizer: AdamW, settings: OptimizationSettings, steps_per_epoch: int) -> LambdaLR:
    """The learning rate over time: a linear rise from 0, then constant or half a cosine, see `rate_scale`.

    Call its `step` after each optimiser step. The first step of a warm-up has rate 0.

    Args:
        optimizer: What `make_optimizer` returned.
        settings: Warm-up, schedule and length.
        steps_per_epoch: Optimiser steps in one pass over the data.

    Raises:
        ValueError: The warm-up is longer than the training.
    """
    warmup, total = num_warmup_steps(settings, steps_per_epoch), total_steps(settings, steps_per_epoch)
    if warmup > total:
        raise ValueError(f"expected a warm-up of at most the {total} steps of the whole training, got {warmup}.")
    return LambdaLR(optimizer, rate_scale(settings, steps_per_epoch))


def set_rates(optimizer: Optimizer, schedule: LambdaLR) -> None:
    """Sets the learning rates to those of the schedule's current step.

    A loaded optimiser has the rates with which it was saved. They may belong to another schedule.

    Args:
        optimizer: The optimiser of the schedule.
        schedule: What `make_schedule` returned, with its state loaded.
    """
    for group, rate, scale in zip(optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
        group["lr"] = rate * scale(schedule.last_epoch)
    schedule._last_lr = [group["lr"] for group in optimizer.param_groups]
