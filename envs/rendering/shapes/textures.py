"""Textures of meshes, and their smaller copies (mip maps) for distant surfaces."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8, UInt64
from PIL import Image, UnidentifiedImageError

MAX_LEVELS = 13
"""Mip levels of a texture of 4096 pixels."""
_LEVELS_DIM = 1 + 3 * MAX_LEVELS


@dataclass(frozen=True, slots=True)
class Textures:
    """Textures of all shapes, ready to be looked up.

    Attributes:
        texels: Red, green and blue in three fields of 21 bits, so that one multiplication weighs all three.
        levels: For each shape the number of mip levels, 0 without a texture, then offset, width and height of each.
    """

    texels: UInt64[np.ndarray, " texels"]
    levels: Int32[np.ndarray, "shapes 40"]


def pack_textures(files: Sequence[Path | None]) -> Textures:
    """Reads the textures of shapes, each file once.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is not an image, or is larger than 4096 pixels.
    """
    levels = np.zeros((len(files), _LEVELS_DIM), dtype=np.int32)
    packed: list[UInt64[np.ndarray, " n"]] = [np.zeros(1, dtype=np.uint64)]
    rows: dict[Path, Int32[np.ndarray, "40"]] = {}
    offset = 1
    for shape, file in enumerate(files):
        if file is None:
            continue
        if file not in rows:
            maps = mip_maps(read_texture(file))
            if len(maps) > MAX_LEVELS:
                raise ValueError(f"expected a texture of at most 4096 pixels, got {maps[0].shape[:2]} in {file}.")
            row = np.zeros(_LEVELS_DIM, dtype=np.int32)
            row[0] = len(maps)
            for number, level in enumerate(maps):
                row[1 + 3 * number : 4 + 3 * number] = offset, level.shape[1], level.shape[0]
                packed.append(_pack(level))
                offset += level.shape[0] * level.shape[1]
            rows[file] = row
        levels[shape] = rows[file]
    return Textures(np.concatenate(packed), levels)


def _pack(level: UInt8[np.ndarray, "H W 3"]) -> UInt64[np.ndarray, " n"]:
    red, green, blue = level.reshape(-1, 3).astype(np.uint64).T
    return np.asarray(red | (green << np.uint64(21)) | (blue << np.uint64(42)), dtype=np.uint64)


def read_texture(file: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Reads an image. Its rows go from the bottom to the top, like texture coordinates.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no image, or damaged.
    """
    if not file.is_file():
        raise FileNotFoundError(f"expected a texture at {file}, found nothing. Get the assets again.")
    try:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(
            f"expected an image in {file} ({file.stat().st_size} bytes), but it cannot be read: {error}. The file is "
            "damaged or was not downloaded whole (with git-lfs: `git lfs pull`). Get it again."
        ) from error
    return np.ascontiguousarray(pixels[::-1])


def mip_maps(texture: UInt8[np.ndarray, "H W 3"]) -> list[UInt8[np.ndarray, "h w 3"]]:
    """The image and its copies. Each copy has half the size (rounded down); the last one is a single pixel.

    Each pixel of a copy results from bilinear filtering of the next larger copy at the pixel's centre. If that copy's
    size was even, it is the mean of four pixels.
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
