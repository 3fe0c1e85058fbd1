"""The two parts of UForm-Gen2 that transformers does not have: its vision tower, and the pooler to latents.

Modules have the published names, so that published weights load without renaming. (`Dinov2Model` computes the same
blocks, but transformers renamed its weights within version 5, and interpolates positions differently.)
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

NORM_EPSILON = 1e-6
INTERPOLATION_OFFSET = 0.1
"""Number added to the new grid's side before the scale is computed, as in DINO. It shifts the positions a little."""


@dataclass(frozen=True, slots=True)
class VisionNumbers:
    """Sizes of the vision tower.

    Attributes:
        width: Numbers in a patch's feature.
        num_layers: Blocks.
        num_heads: Attention heads of a block.
        patch_size: Side of a patch in pixels.
        positions_size: Side of the images that the position embedding was made for, in pixels.
        layer_scale: Initial scale of new blocks.
    """

    width: int
    num_layers: int
    num_heads: int
    patch_size: int
    positions_size: int
    layer_scale: float


@dataclass(frozen=True, slots=True)
class PoolerNumbers:
    """Sizes of the pooler.

    Attributes:
        num_latents: Vision tokens of an image.
        num_heads: Attention heads.
        intermediate_size: Inner width of the feed-forward part.
        dropout: Dropout in train mode.
    """

    num_latents: int
    num_heads: int
    intermediate_size: int
    dropout: float


class SelfAttention(nn.Module):
    """Attention of every patch to every patch."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, hidden: Float[Tensor, "B L width"]) -> Float[Tensor, "B L width"]:
        """Attends."""
        query, key, value = (
            projection(hidden).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, heads, L, width / heads)
            for projection in (self.query, self.key, self.value)
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        mixed: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return mixed


class FeedForward(nn.Module):
    """Two layers with GELU (the exact one) between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden_layer = nn.Linear(width, 4 * width)
        self.output_layer = nn.Linear(4 * width, width)

    def forward(self, hidden: Float[Tensor, "B L width"]) -> Float[Tensor, "B L width"]:
        """Computes."""
        output: Tensor = self.output_layer(functional.gelu(self.hidden_layer(hidden)))
        return output


class LayerScale(nn.Module):
    """A learned factor for each number."""

    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), start))

    def forward(self, hidden: Float[Tensor, "B L width"]) -> Float[Tensor, "B L width"]:
        """Scales."""
        return hidden * self.weight


class VisionBlock(nn.Module):
    """Attention and feed-forward layer, each with a norm before and a scale after."""

    def __init__(self, numbers: VisionNumbers) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(numbers.width, eps=NORM_EPSILON)
        self.attn = SelfAttention(numbers.width, numbers.num_heads)
        self.ls1 = LayerScale(numbers.width, numbers.layer_scale)
        self.norm2 = nn.LayerNorm(numbers.width, eps=NORM_EPSILON)
        self.mlp = FeedForward(numbers.width)
        self.ls2 = LayerScale(numbers.width, numbers.layer_scale)

    def forward(self, hidden: Float[Tensor, "B L width"]) -> Float[Tensor, "B L width"]:
        """Adds attention and feed-forward output to the hidden state."""
        attended: Tensor = hidden + self.ls1(self.attn(self.norm1(hidden)))
        output: Tensor = attended + self.ls2(self.mlp(self.norm2(attended)))
        return output


class VisionTower(nn.Module):
    """A ViT whose class token has no position, and whose positions adapt to the image's size."""

    def __init__(self, numbers: VisionNumbers) -> None:
        super().__init__()
        self.num_sides = numbers.positions_size // numbers.patch_size
        self.patch_embed = nn.Conv2d(3, numbers.width, numbers.patch_size, numbers.patch_size)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, self.num_sides**2, numbers.width))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, numbers.width))
        self.blocks = nn.ModuleList(VisionBlock(numbers) for _ in range(numbers.num_layers))
        self.norm = nn.LayerNorm(numbers.width, eps=NORM_EPSILON)

    def forward(self, pixels: Float[Tensor, "N 3 size size"]) -> Float[Tensor, "N num_features width"]:
        """The class token's feature, then one for each patch, row by row."""
        patches = self.patch_embed(pixels)  # (N, width, side, side)
        hidden = patches.flatten(2).transpose(1, 2) + self.positions(patches.shape[-1])
        hidden = torch.cat([self.cls_token.expand(len(hidden), -1, -1), hidden], dim=1)  # (N, 1 + side^2, width)
        for block in self.blocks:
            hidden = block(hidden)
        features: Tensor = self.norm(hidden)
        return features

    def positions(self, side: int) -> Float[Tensor, "1 num_patches width"]:
        """The position embedding for a grid of `side` by `side` patches."""
        if side == self.num_sides:
            return self.pos_embed
        grid = self.pos_embed.float().reshape(1, self.num_sides, self.num_sides, -1).movedim(-1, 1)
        scale = (side + INTERPOLATION_OFFSET) / self.num_sides
        grid = functional.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
        return grid.flatten(2).transpose(1, 2).to(self.pos_embed.dtype)


class LatentPooler(nn.Module):
    """Learned latents attend to one another and to an image's features, then are mapped to the decoder's width."""

    def __init__(self, numbers: PoolerNumbers, vision_width: int, width: int) -> None:
        super().__init__()
        self.pooler = nn.TransformerDecoderLayer(
            vision_width,
            numbers.num_heads,
            numbers.intermediate_size,
            dropout=numbers.dropout,
            activation=functional.silu,
            batch_first=True,
            norm_first=True,
        )
        self.image_latents = nn.Parameter(0.02**0.5 * torch.randn(1, numbers.num_latents, vision_width))
        self.projection = nn.Linear(vision_width, width)

    def forward(self, features: Float[Tensor, "N num_features vision_width"]) -> Float[Tensor, "N num_latents width"]:
        """Vision tokens of each image."""
        latents = self.image_latents.expand(len(features), -1, -1)
        tokens: Tensor = self.projection(self.pooler(latents, features))
        return tokens
