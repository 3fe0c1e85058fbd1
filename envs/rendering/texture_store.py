"""Textures of all shapes with their mip maps, packed into one array for the shading loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8, UInt64

from calvinbench.envs.rendering.textures import mip_maps, read_texture

MAX_LEVELS = 13
"""Mip levels of a texture of 4096 pixels."""
LEVELS_DIM = 1 + 3 * MAX_LEVELS


@dataclass(frozen=True, slots=True)
class TextureStore:
    """Textures, ready to be looked up.

    Attributes:
        texels: Red, green and blue in three fields of 21 bits, so that one multiplication weighs all three.
        levels: For each shape the number of mip levels, 0 without a texture, then offset, width and height of each.
    """

    texels: UInt64[np.ndarray, "texels"]
    levels: Int32[np.ndarray, "shapes 40"]


def store_textures(textures: Sequence[Path | None]) -> TextureStore:
    """Reads the textures of shapes, each file once.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is no picture, or larger than 4096 pixels.
    """
    levels = np.zeros((len(textures), LEVELS_DIM), dtype=np.int32)
    packed: list[UInt64[np.ndarray, "n"]] = [np.zeros(1, dtype=np.uint64)]
    rows: dict[Path, Int32[np.ndarray, "40"]] = {}
    offset = 1
    for shape, file in enumerate(textures):
        if file is None:
            continue
        if file not in rows:
            maps = mip_maps(read_texture(file))
            if len(maps) > MAX_LEVELS:
                raise ValueError(f"expected a texture of at most 4096 pixels, got {maps[0].shape[:2]} in {file}.")
            row = np.zeros(LEVELS_DIM, dtype=np.int32)
            row[0] = len(maps)
            for number, level in enumerate(maps):
                row[1 + 3 * number : 4 + 3 * number] = offset, level.shape[1], level.shape[0]
                packed.append(_pack(level))
                offset += level.shape[0] * level.shape[1]
            rows[file] = row
        levels[shape] = rows[file]
    return TextureStore(np.concatenate(packed), levels)


def _pack(level: UInt8[np.ndarray, "H W 3"]) -> UInt64[np.ndarray, "n"]:
    red, green, blue = level.reshape(-1, 3).astype(np.uint64).T
    return np.asarray(red | (green << np.uint64(21)) | (blue << np.uint64(42)), dtype=np.uint64)
