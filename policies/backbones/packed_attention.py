"""Faster parts for vision towers that put the patches of all images into one sequence. Results are the same.

transformers passes such a sequence as a whole only to flash attention. For every other kind of attention it processes
the images one by one, in each layer. This module processes images of one size as one batch. It also projects a patch by
one matrix product instead of a convolution in three dimensions with a single step.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers import AttentionInterface

PACKED = "flash_by_batches_of_pictures"
"""Its name in transformers, which passes packed sequences only to kinds of attention with `flash` in their name."""


def packed_attention(
    module: nn.Module,
    query: Float[Tensor, "1 heads length dim"],
    key: Float[Tensor, "1 heads length dim"],
    value: Float[Tensor, "1 heads length dim"],
    attention_mask: None,
    *,
    cu_seq_lens_q: Int[Tensor, " ends"],
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Float[Tensor, "1 length heads dim"], None]:
    """Attention with the signature that `AttentionInterface` needs: every patch attends to those of its own image.

    Args:
        module: The layer; not used.
        query: Patches of all images, one image after another.
        key: In the same order.
        value: In the same order.
        attention_mask: None: `cu_seq_lens_q` says where images begin and end.
        cu_seq_lens_q: Where each image begins, and where the last one ends.
        scaling: Factor of the products; None for one over the root of `dim`.
        dropout: Dropout of the weights.
    """
    lengths = cu_seq_lens_q.diff().tolist()
    if len(set(lengths)) == 1:
        batches = [tuple(part[0].unflatten(1, (len(lengths), -1)).transpose(0, 1) for part in (query, key, value))]
    else:
        batches = list(zip(*(part.split(lengths, dim=2) for part in (query, key, value)), strict=True))
    attended = [
        scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling)  # (images, heads, patches, dim)
        .transpose(1, 2)
        .flatten(0, 1)
        for q, k, v in batches
    ]
    return torch.cat(attended)[None], None


class PatchProjection(nn.Module):
    """A convolution whose kernel has the size of its input. Its parameters keep their names."""

    def __init__(self, convolution: nn.Conv3d) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, patches: Float[Tensor, "patches channels frames rows columns"]) -> Float[Tensor, "patches dim"]:
        """Projects each patch."""
        return linear(patches.flatten(1), self.weight.flatten(1), self.bias)


def speed_up(tower: Any) -> None:
    """Replaces these parts of a Qwen vision tower, in place."""
    tower.config._attn_implementation = PACKED
    tower.patch_embed.proj = PatchProjection(tower.patch_embed.proj)


AttentionInterface.register(PACKED, packed_attention)
