"""What a data loader does to pictures: random shifts, as DrQ and RoboVLMs do them, and the backbone's own resizing."""

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}


def shift_pictures(
    pictures: UInt8[np.ndarray, "T H W 3"], shifts: Int[np.ndarray, "T 2"]
) -> UInt8[np.ndarray, "T H W 3"]:
    """Moves each picture; what comes into view repeats the edge.

    Args:
        pictures: Consecutive frames.
        shifts: Rows down and columns to the right by which each is moved.
    """
    if not shifts.any():
        return pictures
    _, height, width, _ = pictures.shape
    moved = np.empty_like(pictures)
    for index, (down, right) in enumerate(shifts):
        rows = (np.arange(height) - down).clip(0, height - 1)
        columns = (np.arange(width) - right).clip(0, width - 1)
        moved[index] = pictures[index][rows][:, columns]
    return moved


def draw_shifts(
    generator: np.random.Generator, num_frames: int, max_shift: int, *, same_in_window: bool
) -> Int[np.ndarray, "T 2"]:
    """Draws shifts, each number uniform in -max_shift..max_shift.

    Args:
        generator: Where they come from.
        num_frames: Frames of the window.
        max_shift: Pixels at most.
        same_in_window: Whether all frames are moved alike.
    """
    if same_in_window:
        return np.tile(generator.integers(-max_shift, max_shift + 1, size=(1, 2)), (num_frames, 1))
    return generator.integers(-max_shift, max_shift + 1, size=(num_frames, 2))


def resize_pictures(
    pictures: UInt8[np.ndarray, "T H W 3"], size: int, filter_name: str = "bicubic"
) -> UInt8[np.ndarray, "T size size 3"]:
    """Resizes with PIL itself: the numbers of `backbones.resize`, sooner on a CPU.

    Args:
        pictures: Consecutive frames.
        size: Pixels a side.
        filter_name: One of `FILTERS`.
    """
    if pictures.shape[1:3] == (size, size):
        return pictures
    method = FILTERS[filter_name]
    return np.stack([np.asarray(Image.fromarray(picture).resize((size, size), method)) for picture in pictures])
