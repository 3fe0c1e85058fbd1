"""The learnable token [LRN], in which the VLM fuses text and images."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LearnableToken(nn.Module):
    """One embedding, initially zero and always trained. It comes after text and images in the VLM's sequence."""

    def __init__(self, width: int) -> None:
        """Makes the token.

        Args:
            width: The VLM's embedding width.
        """
        super().__init__()
        self.embedding: nn.Parameter = nn.Parameter(torch.zeros(width))

    def forward(self) -> Float[Tensor, " width"]:
        """The embedding, before the VLM scales embeddings."""
        return self.embedding
