"""Pictures that are glued on meshes, and their smaller copies (mip maps) for surfaces seen from afar."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError


def read_texture(file: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Reads a picture; its rows run from the bottom to the top, as texture coordinates do.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no picture, or damaged.
    """
    if not file.is_file():
        raise FileNotFoundError(f"expected a texture at {file}, found nothing. Get the assets again.")
    try:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(
            f"expected a picture in {file} ({file.stat().st_size} bytes), but it cannot be read: {error}. The file is "
            "damaged or was not downloaded whole (with git-lfs: `git lfs pull`). Get it again."
        ) from error
    return np.ascontiguousarray(pixels[::-1])


def mip_maps(texture: UInt8[np.ndarray, "H W 3"]) -> list[UInt8[np.ndarray, "h w 3"]]:
    """The picture and its copies, each of half the size (rounded down), until a single pixel is left.

    Each pixel of a copy is what bilinear filtering of the next larger one gives at the pixel's centre: the mean of
    four where the size was even.
    """
    levels = [texture]
    while max(levels[-1].shape[:2]) > 1:
        larger = levels[-1].astype(np.float64)
        for axis in (0, 1):
            larger = _halve(larger, axis)
        levels.append(np.floor(larger + 0.5).astype(np.uint8))
    return levels


def _halve(pixels: np.ndarray, axis: int) -> np.ndarray:
    """Bilinear filtering along one axis, at the centres of the pixels of a copy of half the size."""
    length = pixels.shape[axis]
    smaller = max(1, length // 2)
    positions = np.clip((np.arange(smaller) + 0.5) * length / smaller - 0.5, 0, length - 1)
    below = np.floor(positions).astype(np.int64)
    above = np.minimum(below + 1, length - 1)
    shape = [1, 1, 1]
    shape[axis] = smaller
    weight = (positions - below).reshape(shape)
    return np.asarray(pixels.take(below, axis) * (1 - weight) + pixels.take(above, axis) * weight)
