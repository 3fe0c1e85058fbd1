"""Qwen's vision tower with our faster parts, beside the same tower with transformers' own."""

import copy
from typing import Any

import pytest
import torch

from calvinbench.policies.backbones.packed_attention import PACKED, PatchProjection, speed_up
from calvinbench.policies.backbones.qwen_vl import QwenVLBackbone

ONE_SIZE = ((1, 8, 8), (1, 8, 8), (1, 8, 8))
SEVERAL_SIZES = ((1, 8, 8), (1, 4, 12), (1, 8, 8))


@pytest.fixture(scope="module")
def towers() -> tuple[Any, Any]:
    """Transformers' own tower, and ours with the same weights."""
    from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer

    torch.manual_seed(0)
    own: Any = QwenVLBackbone._model_of(QwenVLBackbone.tiny_config(tiny_tokenizer(QwenVLBackbone.special_tokens)))
    ours = copy.deepcopy(own.visual)
    speed_up(ours)
    return own.visual, ours


@pytest.mark.parametrize("grids", [ONE_SIZE, SEVERAL_SIZES], ids=["one size", "several sizes"])
def test_features_and_gradients_are_those_of_transformers(towers: tuple[Any, Any], grids: tuple[Any, ...]) -> None:
    num_patches = sum(frames * rows * columns for frames, rows, columns in grids)
    patches = torch.randn(num_patches, 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(1))
    found = []
    for tower in towers:
        tower.zero_grad()
        features = tower(patches, grid_thw=torch.tensor(grids)).pooler_output
        features.square().sum().backward()
        gradients = {name: parameter.grad.clone() for name, parameter in tower.named_parameters()}
        found.append((features.detach(), gradients))
    (features, gradients), (our_features, our_gradients) = found
    torch.testing.assert_close(our_features, features, rtol=1e-4, atol=1e-5)
    assert our_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()))


def test_images_do_not_see_each_other(towers: tuple[Any, Any]) -> None:
    patches = torch.randn(3 * 64, 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(2))
    together = towers[1](patches, grid_thw=torch.tensor(ONE_SIZE)).pooler_output
    alone = towers[1](patches[:64], grid_thw=torch.tensor(ONE_SIZE[:1])).pooler_output
    torch.testing.assert_close(together[: len(alone)], alone, rtol=1e-4, atol=1e-5)


def test_a_backbone_has_them(towers: tuple[Any, Any]) -> None:
    tower = QwenVLBackbone.tiny(torch.Generator().manual_seed(0)).model.visual
    assert tower.config._attn_implementation == PACKED
    assert isinstance(tower.patch_embed.proj, PatchProjection)
    assert not isinstance(towers[0].patch_embed.proj, PatchProjection)
