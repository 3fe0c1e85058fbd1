"""Every setting of a training has a role: a new one must be given one."""

from dataclasses import fields, replace

import pytest

from calvinbench.policies.learned.trainable_parts import TrainableParts
from calvinbench.policies.training.optimization import OptimizationSettings
from calvinbench.policies.training.recipe.roles import ROLES, Role, recipe_names
from calvinbench.policies.training.settings import TrainingSettings
from support.small_training import make_training

KINDS = (TrainingSettings, OptimizationSettings, TrainableParts)
OTHER = {
    "learning_rate": 1.0,
    "backbone_learning_rate": 1.0,
    "weight_decay": 1.0,
    "precision": "bf16",
    "warmup_epochs": 1.0,
    "warmup_steps": 9,
    "schedule": "cosine",
    "min_learning_rate_scale": 0.5,
    "max_gradient_norm": 1.0,
    "gripper_loss_ratio": 0.5,
    "gripper_change_weight": 2.0,
    "window_size": 9,
    "window_stride": 2,
    "static_shift": 1,
    "gripper_shift": 1,
    "same_shift_in_window": False,
    "seed": 5,
    "max_epochs": 9,
    "max_steps": 9,
    "batch_size": 1,
    "gradient_accumulation_steps": 2,
    "num_workers": 1,
}


def test_every_setting_is_classified_and_nothing_else():
    names = [field.name for kind in KINDS for field in fields(kind)]
    assert len(names) == len(set(names))
    assert set(ROLES) == set(names) - {"optimization", "trainable"}


@pytest.mark.parametrize("name", OTHER)
def test_a_setting_is_in_the_recipe_as_its_role_says(name, data, tmp_path):
    made = make_training(data, tmp_path)
    optimization = replace(made.settings.optimization, **{name: OTHER[name]})
    assert optimization != made.settings.optimization
    other = replace(made, settings=replace(made.settings, optimization=optimization))
    is_part = ROLES[name] in (Role.RECIPE, Role.LENGTH)
    assert (other.recipe(3) != made.recipe(3)) == is_part
    assert (name in recipe_names(OptimizationSettings)) == is_part


def test_all_of_the_optimisation_is_looked_at():
    assert set(OTHER) == {field.name for field in fields(OptimizationSettings)}
