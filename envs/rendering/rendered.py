"""The input and the output of every renderer: a view, and the rendered image."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8


@dataclass(frozen=True, slots=True)
class View:
    """The pose and the lens of a camera.

    Attributes:
        view: From the world to the camera's frame, 16 numbers, columns first, as Bullet gives them.
        projection: From the camera's frame to clip coordinates, in the same order.
        size: Width and height in pixels.
    """

    view: tuple[float, ...]
    projection: tuple[float, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """An image.

    Attributes:
        rgb: Colours, 0..255.
        z_buffer: Depth as OpenGL keeps it, 0 at the near plane, 1 at the far plane; None if it was not
            requested.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    z_buffer: Float32[np.ndarray, "H W"] | None
