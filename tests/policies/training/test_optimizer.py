"""Rates and decay do what their settings say."""

from itertools import pairwise

import pytest
import torch

from calvinbench.policies.backbones.cnn.cnn import CNNBackbone
from calvinbench.policies.heads.config import HeadConfig
from calvinbench.policies.learned.trainable import TrainableParts, apply_trainable_parts
from calvinbench.policies.learned.vlm_lstm import VLMLSTM
from calvinbench.policies.robovlms.config_blocks import config_from_blocks
from calvinbench.policies.training.optimization import OptimizationSettings
from calvinbench.policies.training.optimizer import make_optimizer, make_schedule


@pytest.fixture(scope="module")
def model():
    return VLMLSTM(CNNBackbone.tiny(torch.Generator().manual_seed(0)), HeadConfig(hidden_dim=8))


@pytest.fixture(autouse=True)
def _trained_whole(model):
    apply_trainable_parts(model, TrainableParts())
    yield
    model.zero_grad()


def groups_of(optimizer):
    return {group["name"]: group for group in optimizer.param_groups}


def test_the_seeds_rate_and_decay_reach_adamw_over_what_is_trained(model):
    apply_trainable_parts(model, TrainableParts(freeze_backbone=True))
    blocks = config_from_blocks({"train_setup": {"learning_rate": 2e-5, "weight_decay": 0.1}})
    groups = groups_of(make_optimizer(model, blocks.optimization))
    assert {name: (group["lr"], group["weight_decay"]) for name, group in groups.items()} == {
        "new, matrices": (2e-5, 0.1),
        "new, vectors": (2e-5, 0.0),
    }
    given = {id(weight) for group in groups.values() for weight in group["params"]}
    assert given == {id(weight) for part in (model.head, model.lrn) for weight in part.parameters()}
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="but all parameters of the model are frozen"):
        make_optimizer(model, blocks.optimization)


def test_the_vlm_has_a_rate_of_its_own(model):
    settings = OptimizationSettings(learning_rate=1e-3, backbone_learning_rate=1e-5)
    groups = groups_of(make_optimizer(model, settings))
    assert {name: group["lr"] for name, group in groups.items()} == {
        "VLM, matrices": 1e-5,
        "VLM, vectors": 1e-5,
        "new, matrices": 1e-3,
        "new, vectors": 1e-3,
    }
    counts = [sum(weight.numel() for weight in group["params"]) for group in groups.values()]
    assert sum(counts[:2]) == sum(weight.numel() for weight in model.backbone.parameters())
    assert sum(counts) == model.num_parameters
    apply_trainable_parts(model, TrainableParts(freeze_backbone=True))
    with pytest.raises(ValueError, match="expected no backbone_learning_rate, because the VLM is frozen, got 1e-05"):
        make_optimizer(model, settings)


def test_both_rates_follow_the_schedule(model):
    settings = OptimizationSettings(
        learning_rate=1e-3, backbone_learning_rate=1e-5, warmup_epochs=0.0, warmup_steps=2, max_steps=4
    )
    optimizer = make_optimizer(model, settings)
    schedule = make_schedule(optimizer, settings, steps_per_epoch=4)
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [5e-6, 5e-6, 5e-4, 5e-4]


def test_decay_shrinks_matrices_and_leaves_biases_norms_and_lrn(model):
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    with torch.no_grad():
        before["lrn.embedding"] = model.lrn.embedding.fill_(1.0).clone()
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    make_optimizer(model, OptimizationSettings(learning_rate=0.5, weight_decay=0.2)).step()
    for name, weight in model.named_parameters():
        expected = before[name] * (0.9 if weight.ndim > 1 else 1.0)  # 1 - 0.5 x 0.2
        torch.testing.assert_close(weight.detach(), expected, msg=name)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(before[name])


def rates(model, settings, steps, steps_per_epoch=8):
    optimizer = make_optimizer(model, settings)
    schedule = make_schedule(optimizer, settings, steps_per_epoch)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_rate_rises_over_a_quarter_of_an_epoch_and_stays(model):
    assert rates(model, OptimizationSettings(learning_rate=1.0), 5) == [0.0, 0.5, 1.0, 1.0, 1.0]


def test_a_cosine_falls_to_its_lowest(model):
    settings = OptimizationSettings(
        learning_rate=1.0, warmup_epochs=0.0, schedule="cosine", min_learning_rate_scale=0.2, max_steps=4
    )
    found = rates(model, settings, 6)
    assert found == pytest.approx([1.0, 0.2 + 0.8 * 0.8535534, 0.6, 0.2 + 0.8 * 0.1464466, 0.2, 0.2])
    assert all(later <= earlier for earlier, later in pairwise(found))


def test_the_training_ends_with_its_epochs_or_its_steps_whichever_comes_first(model):
    settings = OptimizationSettings(
        learning_rate=1.0, warmup_epochs=0.0, schedule="cosine", max_epochs=1, max_steps=100000
    )
    assert rates(model, settings, 9, steps_per_epoch=8)[-1] == 0.0
    with pytest.raises(ValueError, match="a warm-up of at most the 8 steps of the whole training, got 50"):
        rates(model, OptimizationSettings(warmup_epochs=0.0, warmup_steps=50, max_epochs=1), 1)
