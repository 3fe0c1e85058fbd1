"""Resizes arrays with PIL, as for pretrained vision towers. It imports no torch, which recorders do not need."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

FILTERS = ("bicubic", "bilinear", "lanczos")


def resize_with_pil(
    images: UInt8[np.ndarray, "N H W 3"], size: int, filter_name: str = "bicubic"
) -> UInt8[np.ndarray, "N size size 3"]:
    """Resized images. Images that are not square are squeezed; images of this size stay as they are.

    Args:
        images: Channels last.
        size: New side in pixels.
        filter_name: One of `FILTERS`.
    """
    if images.shape[1:3] == (size, size):
        return images
    method = Image.Resampling[filter_name.upper()]
    return np.stack([np.asarray(Image.fromarray(image).resize((size, size), method)) for image in images])
