"""The new parts of `minilm-effnet`: the projection of image features to tokens, and the fusion transformer."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

EMBEDDING_STD = 0.2
"""Scale of the new embeddings of position and camera, for features of about 1: cameras differ from the first step."""


@dataclass(frozen=True, slots=True)
class FusionNumbers:
    """Sizes of the fusion transformer.

    Attributes:
        num_layers: Transformer layers.
        num_heads: Attention heads of a layer.
        intermediate_size: Inner width of the feed-forward parts.
        dropout: Dropout in train mode.
    """

    num_layers: int
    num_heads: int
    intermediate_size: int
    dropout: float


class ImageProjection(nn.Module):
    """Turns a vision tower's features into tokens."""

    def __init__(self, vision_width: int, width: int, num_places: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(vision_width)
        self.projection = nn.Linear(vision_width, width)
        self.place = nn.Parameter(EMBEDDING_STD * torch.randn(num_places, width))

    def forward(self, features: Float[Tensor, "N vision_width side side"]) -> Float[Tensor, "N num_places width"]:
        """One token for each position, row by row."""
        tokens: Tensor = self.projection(self.norm(features.flatten(2).transpose(1, 2))) + self.place
        return tokens


class FusionTransformer(nn.Module):
    """Attention between text, images and [LRN]."""

    def __init__(self, numbers: FusionNumbers, width: int) -> None:
        super().__init__()
        self.camera = nn.Parameter(EMBEDDING_STD * torch.randn(2, width))
        layers = [
            nn.TransformerEncoderLayer(
                width,
                numbers.num_heads,
                numbers.intermediate_size,
                numbers.dropout,
                functional.gelu,
                batch_first=True,
                norm_first=True,
            )
            for _ in range(numbers.num_layers)
        ]
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, embedded: Float[Tensor, "B L width"], attended: Bool[Tensor, "B L"]
    ) -> Float[Tensor, "B L width"]:
        """The last hidden states."""
        for layer in self.layers:
            embedded = layer(embedded, src_key_padding_mask=~attended)
        hidden: Tensor = self.norm(embedded)
        return hidden

    def last(self, embedded: Float[Tensor, "B L width"], attended: Bool[Tensor, "B L"]) -> Float[Tensor, "B width"]:
        """The hidden state of the last token, equal to `forward(...)[:, -1]`. The last layer computes only this one."""
        *layers, final = self.layers
        for layer in layers:
            embedded = layer(embedded, src_key_padding_mask=~attended)
        assert isinstance(final, nn.TransformerEncoderLayer)  # noqa: S101  for the type checker
        normed, hidden = final.norm1(embedded), embedded[:, -1]
        seen, _ = final.self_attn(normed[:, -1:], normed, normed, key_padding_mask=~attended, need_weights=False)
        hidden = hidden + final.dropout1(seen[:, 0])
        inner = final.linear2(final.dropout(final.activation(final.linear1(final.norm2(hidden)))))
        last: Tensor = self.norm(hidden + final.dropout2(inner))
        return last
