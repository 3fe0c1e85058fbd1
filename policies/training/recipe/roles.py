"""The role of each setting in a training's recipe, and whether it may change when the training is resumed."""

from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from types import MappingProxyType

from calvinbench.policies.learned.trainable_parts import TrainableParts
from calvinbench.policies.training.optimization import OptimizationSettings


class Role(Enum):
    """The role of a setting in a training."""

    RECIPE = "part of the recipe; a resumed training may not change it"
    SEED = "not part of the recipe; a resumed training may not change it"
    CONTENT = "a path; its content is part of the recipe and is compared, but the path may change"
    LENGTH = "part of the recipe; a change is allowed and reported, and may make the training another recipe"
    SPLIT = "how a step's windows are split up; the product is part of the recipe, and a changed factor is reported"
    FREE = "affects weights only by rounding; it may change"


ROLES: Mapping[str, Role] = MappingProxyType(
    {
        "policy": Role.CONTENT,
        "data": Role.CONTENT,
        "data_scenes": Role.FREE,
        **dict.fromkeys(("tasks", "paraphrases"), Role.RECIPE),
        **dict.fromkeys(("out", "log_every", "save_every", "validate_every", "validation_windows"), Role.FREE),
        # Settings of the optimisation.
        **dict.fromkeys(
            (
                *("learning_rate", "backbone_learning_rate", "weight_decay", "precision", "warmup_epochs"),
                *("warmup_steps", "schedule", "min_learning_rate_scale", "max_gradient_norm"),
                *("gripper_loss_ratio", "gripper_change_weight", "window_size", "window_stride"),
                *("static_shift", "gripper_shift", "same_shift_in_window"),
            ),
            Role.RECIPE,
        ),
        "seed": Role.SEED,
        **dict.fromkeys(("max_epochs", "max_steps"), Role.LENGTH),
        **dict.fromkeys(("batch_size", "gradient_accumulation_steps"), Role.SPLIT),
        "num_workers": Role.FREE,
        # Settings of the trained parts.
        **dict.fromkeys(
            (
                *("freeze_backbone", "train_vision", "train_connector", "train_text_embedding"),
                *("lora_enable", "lora_r", "lora_alpha", "lora_dropout", "lora_bias"),
            ),
            Role.RECIPE,
        ),
        "gradient_checkpointing": Role.FREE,
    }
)
"""Every field of `TrainingSettings`, `OptimizationSettings` and `TrainableParts`."""


def recipe_names(settings: type[OptimizationSettings] | type[TrainableParts]) -> tuple[str, ...]:
    """The fields whose values are part of a recipe."""
    return tuple(f.name for f in fields(settings) if ROLES[f.name] in (Role.RECIPE, Role.LENGTH))


def refused_names(settings: type) -> tuple[str, ...]:
    """The fields that a resumed training may not change."""
    return tuple(f.name for f in fields(settings) if ROLES.get(f.name) in (Role.RECIPE, Role.SEED))
