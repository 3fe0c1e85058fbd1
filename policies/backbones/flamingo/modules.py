"""The parts of Flamingo (arXiv:2204.14198) between vision tower and language model, as in OpenFlamingo.

A resampler turns an image's patches into a few latents. Gated cross-attention, before some of the language model's
layers, lets tokens read latents. No linear layer has a bias. The inner width of attention is heads times head width,
whatever the width of its input.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from calvinbench.policies.backbones.flamingo.config import FlamingoNumbers


def feed_forward(width: int, factor: int) -> nn.Sequential:
    """A norm, and a two-layer perceptron with an exact GELU."""
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, factor * width, bias=False),
        nn.GELU(),
        nn.Linear(factor * width, width, bias=False),
    )


def attend(
    query: Float[Tensor, "B Q dim"],
    key_value: Float[Tensor, "B K twice_dim"],
    num_heads: int,
    visible: Bool[Tensor, "B Q K"] | None = None,
) -> Float[Tensor, "B Q dim"]:
    """Attention with several heads.

    Args:
        query: Queries of the tokens that attend.
        key_value: Keys and then values of the tokens that they attend to.
        num_heads: Number of heads.
        visible: Which tokens may be attended to, at least one for each query; None for all.
    """
    key, value = key_value.chunk(2, dim=-1)
    mask = None if visible is None else visible[:, None]
    attended = functional.scaled_dot_product_attention(
        heads_of(query, num_heads), heads_of(key, num_heads), heads_of(value, num_heads), attn_mask=mask
    )
    return attended.transpose(1, 2).flatten(2)


def heads_of(tensor: Float[Tensor, "B N dim"], num_heads: int) -> Float[Tensor, "B heads N head_dim"]:
    """Splits the width into heads."""
    return tensor.view(*tensor.shape[:2], num_heads, -1).transpose(1, 2)


class LatentAttention(nn.Module):
    """Latents attend to an image's patches and to one another."""

    def __init__(self, width: int, numbers: FlamingoNumbers) -> None:
        super().__init__()
        self.num_heads = numbers.num_heads
        self.patch_norm = nn.LayerNorm(width)
        self.latent_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, numbers.attention_dim, bias=False)
        self.key_value = nn.Linear(width, 2 * numbers.attention_dim, bias=False)
        self.output = nn.Linear(numbers.attention_dim, width, bias=False)

    def forward(
        self, latents: Float[Tensor, "N latents width"], patches: Float[Tensor, "N patches width"]
    ) -> Float[Tensor, "N latents width"]:
        """The update of the latents."""
        latents = self.latent_norm(latents)
        seen = torch.cat([self.patch_norm(patches), latents], dim=1)  # (N, patches + latents, width)
        added: Tensor = self.output(attend(self.query(latents), self.key_value(seen), self.num_heads))
        return added


class ResamplerBlock(nn.Module):
    """Attention and feed-forward layer."""

    def __init__(self, width: int, numbers: FlamingoNumbers) -> None:
        super().__init__()
        self.attention = LatentAttention(width, numbers)
        self.feed_forward = feed_forward(width, numbers.feed_forward_factor)

    def forward(
        self, latents: Float[Tensor, "N latents width"], patches: Float[Tensor, "N patches width"]
    ) -> Float[Tensor, "N latents width"]:
        """The latents of the next block."""
        latents = latents + self.attention(latents, patches)
        updated: Tensor = latents + self.feed_forward(latents)
        return updated


class PerceiverResampler(nn.Module):
    """An image's patches as a fixed number of latents. A latent has no position in the image."""

    def __init__(self, width: int, numbers: FlamingoNumbers) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(numbers.num_latents, width))
        self.blocks = nn.ModuleList(ResamplerBlock(width, numbers) for _ in range(numbers.num_resampler_blocks))
        self.norm = nn.LayerNorm(width)

    def forward(self, patches: Float[Tensor, "N patches width"]) -> Float[Tensor, "N latents width"]:
        """The latents of each image."""
        latents = self.latents.expand(len(patches), -1, -1)  # (N, latents, width)
        for block in self.blocks:
            latents = block(latents, patches)
        normalised: Tensor = self.norm(latents)
        return normalised


class CrossAttention(nn.Module):
    """Tokens attend to latents."""

    def __init__(self, width: int, vision_dim: int, numbers: FlamingoNumbers) -> None:
        super().__init__()
        self.num_heads = numbers.num_heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, numbers.attention_dim, bias=False)
        self.key_value = nn.Linear(vision_dim, 2 * numbers.attention_dim, bias=False)
        self.output = nn.Linear(numbers.attention_dim, width, bias=False)

    def forward(
        self,
        hidden: Float[Tensor, "B L width"],
        vision_tokens: Float[Tensor, "B num_vision vision_dim"],
        visible: Bool[Tensor, "B L num_vision"],
    ) -> Float[Tensor, "B L width"]:
        """The update of the tokens; zero for a token that sees no image."""
        blind = ~visible.any(dim=-1, keepdim=True)  # (B, L, 1); a softmax over nothing would not be a number
        attended = attend(self.query(self.norm(hidden)), self.key_value(vision_tokens), self.num_heads, visible | blind)
        added: Tensor = self.output(attended.masked_fill(blind, 0.0))
        return added


class GatedCrossAttention(nn.Module):
    """Cross-attention and a feed-forward layer, each behind a learned gate."""

    def __init__(self, width: int, vision_dim: int, numbers: FlamingoNumbers) -> None:
        super().__init__()
        self.attention = CrossAttention(width, vision_dim, numbers)
        self.attention_gate = nn.Parameter(torch.full((1,), numbers.initial_gate))
        self.feed_forward = feed_forward(width, numbers.feed_forward_factor)
        self.feed_forward_gate = nn.Parameter(torch.full((1,), numbers.initial_gate))

    def forward(
        self,
        hidden: Float[Tensor, "B L width"],
        vision_tokens: Float[Tensor, "B num_vision vision_dim"],
        visible: Bool[Tensor, "B L num_vision"],
    ) -> Float[Tensor, "B L width"]:
        """The tokens, with the images that they see read into them.

        Args:
            hidden: Before a layer of the language model.
            vision_tokens: Latents of the images.
            visible: Which latents a token sees; it may see none.
        """
        hidden = hidden + self.attention_gate.tanh() * self.attention(hidden, vision_tokens, visible)
        gated: Tensor = hidden + self.feed_forward_gate.tanh() * self.feed_forward(hidden)
        return gated


def causal_mask(attended: Bool[Tensor, "B L"], dtype: torch.dtype) -> Float[Tensor, "B 1 L L"]:
    """The causal mask without padding, as numbers that are added to attention's logits."""
    length = attended.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool, device=attended.device).tril()
    seen = (earlier & attended[:, None])[:, None]  # (B, 1, L, L)
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)
