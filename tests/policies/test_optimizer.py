"""Rates, decay and precision do what their settings say."""

import pytest
import torch
from torch import nn

from calvinbench.policies.config.blocks import config_from_blocks
from calvinbench.policies.config.optimization import OptimizationSettings
from calvinbench.policies.optimizer import make_optimizer, make_schedule, step_precision

CPU = torch.device("cpu")


def test_the_seeds_rate_and_decay_reach_adamw_over_what_is_trained():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].requires_grad_(False)
    blocks = config_from_blocks({"train_setup": {"learning_rate": 2e-5, "weight_decay": 0.1}})
    (group,) = make_optimizer(model, blocks.optimization).param_groups
    assert (group["lr"], group["weight_decay"]) == (2e-5, 0.1)
    assert [id(parameter) for parameter in group["params"]] == [id(parameter) for parameter in model[1].parameters()]
    with pytest.raises(ValueError, match="got a model in which all are frozen"):
        make_optimizer(model.requires_grad_(False), blocks.optimization)


def rates(settings, steps, steps_per_epoch=8):
    optimizer = make_optimizer(nn.Linear(1, 1), settings)
    schedule = make_schedule(optimizer, settings, steps_per_epoch)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_rate_rises_over_a_quarter_of_an_epoch_and_stays():
    assert rates(OptimizationSettings(learning_rate=1.0), 5) == [0.0, 0.5, 1.0, 1.0, 1.0]


def test_a_cosine_falls_to_its_lowest():
    settings = OptimizationSettings(
        learning_rate=1.0, warmup_epochs=0.0, schedule="cosine", min_learning_rate_scale=0.2, max_steps=4
    )
    assert rates(settings, 6) == pytest.approx([1.0, 0.2 + 0.8 * 0.8535534, 0.6, 0.2 + 0.8 * 0.1464466, 0.2, 0.2])


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_are_made_in_the_precision(precision, dtype):
    with step_precision(OptimizationSettings(precision=precision), CPU):
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


def test_fp16_on_a_cpu_is_refused_in_words():
    seeds = config_from_blocks({"mixed_precision": True, "fp16": True, "bf16": False}).optimization
    with pytest.raises(ValueError, match="expected precision bf16 or fp32 on a CPU, got fp16"):
        step_precision(seeds, CPU)


def test_the_training_ends_with_its_epochs_or_its_steps_whichever_comes_first():
    settings = OptimizationSettings(
        learning_rate=1.0, warmup_epochs=0.0, schedule="cosine", max_epochs=1, max_steps=100000
    )
    assert rates(settings, 9, steps_per_epoch=8)[-1] == 0.0
    with pytest.raises(ValueError, match="a warm-up of at most the 8 steps of the whole training, got 50"):
        rates(OptimizationSettings(warmup_epochs=0.0, warmup_steps=50, max_epochs=1), 1)
