"""Resizing by PIL, as pretrained vision towers were fed, on arrays. Imports no torch: recorders need none."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

FILTERS = ("bicubic", "bilinear", "lanczos")


def resize_with_pil(
    pictures: UInt8[np.ndarray, "N H W 3"], size: int, filter_name: str = "bicubic"
) -> UInt8[np.ndarray, "N size size 3"]:
    """Pictures of another size; those that are not square are squeezed, those of the size stay as they are.

    Args:
        pictures: Channels last.
        size: Pixels a side.
        filter_name: One of `FILTERS`.
    """
    if pictures.shape[1:3] == (size, size):
        return pictures
    method = Image.Resampling[filter_name.upper()]
    return np.stack([np.asarray(Image.fromarray(picture).resize((size, size), method)) for picture in pictures])
