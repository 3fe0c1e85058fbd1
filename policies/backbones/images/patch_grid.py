"""Images as Qwen's vision towers take them: rows of patches, in which merged neighbours follow each other."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """How a square image is divided.

    Attributes:
        patch_size: Side of a patch in pixels.
        merge_size: Patches, on each side, that become one token.
        temporal_patch_size: Frames of a patch. An image is repeated to fill them.
    """

    patch_size: int
    merge_size: int
    temporal_patch_size: int

    def num_patches(self, image_size: int) -> int:
        """Number of patches on each side.

        Raises:
            ValueError: The size cannot be divided into merged patches.
        """
        unit = self.patch_size * self.merge_size
        if image_size % unit:
            raise ValueError(f"expected an image_size that is a multiple of {unit}, got {image_size}.")
        return image_size // self.patch_size

    def num_tokens(self, image_size: int) -> int:
        """Tokens of an image."""
        return (self.num_patches(image_size) // self.merge_size) ** 2

    def thw(self, image_size: int, num_images: int, device: torch.device) -> Int[Tensor, "N 3"]:
        """Frames, rows and columns of patches of each image."""
        side = self.num_patches(image_size)
        return torch.tensor([[1, side, side]], device=device).expand(num_images, 3).contiguous()

    def cut(self, pixels: Float[Tensor, "N C size size"]) -> Float[Tensor, "patches numbers"]:
        """Patches of all images, one after the other. A patch is (channels, frames, rows, columns), flattened."""
        num_images, channels, size, _ = pixels.shape
        merged = self.num_patches(size) // self.merge_size
        cut = pixels.reshape(
            num_images, channels, merged, self.merge_size, self.patch_size, merged, self.merge_size, self.patch_size
        )  # (N, C, rows, row in merge, y, columns, column in merge, x)
        cut = cut.permute(0, 2, 5, 3, 6, 1, 4, 7)  # (N, rows, columns, row in merge, column in merge, C, y, x)
        cut = cut.unsqueeze(6).expand(*cut.shape[:6], self.temporal_patch_size, *cut.shape[6:])
        return cut.flatten(0, 4).flatten(1)
