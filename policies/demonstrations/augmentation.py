"""Random shifts of images by some pixels, with repeated edges, as in DrQ and RoboVLMs."""

import numpy as np
from jaxtyping import Int, UInt8


def shift_images(images: UInt8[np.ndarray, "T H W 3"], shifts: Int[np.ndarray, "T 2"]) -> UInt8[np.ndarray, "T H W 3"]:
    """Shifts each image. The uncovered area repeats the edge.

    Args:
        images: Images of consecutive frames.
        shifts: Rows down and columns to the right by which each image is shifted.
    """
    if not shifts.any():
        return images
    _, height, width, _ = images.shape
    moved = np.empty_like(images)
    for index, (down, right) in enumerate(shifts):
        rows = (np.arange(height) - down).clip(0, height - 1)
        columns = (np.arange(width) - right).clip(0, width - 1)
        moved[index] = images[index][rows][:, columns]
    return moved


def draw_shifts(
    generator: np.random.Generator, num_frames: int, max_shift: int, *, same_in_window: bool
) -> Int[np.ndarray, "T 2"]:
    """Draws shifts, each number uniform in -max_shift..max_shift.

    Args:
        generator: Draws the shifts.
        num_frames: Frames of the window.
        max_shift: Largest shift in pixels.
        same_in_window: Whether all frames have the same shift.
    """
    if same_in_window:
        return np.tile(generator.integers(-max_shift, max_shift + 1, size=(1, 2)), (num_frames, 1))
    return generator.integers(-max_shift, max_shift + 1, size=(num_frames, 2))
