"""The still layer: the shapes that have not moved for a while, and the cached image of them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, UInt8

_PATIENCE = 24
"""Steps without motion after which a shape joins the layer: 0.8 s at CALVIN's 30 Hz."""


@dataclass(frozen=True, slots=True)
class StillImage:
    """A camera's image of the still shapes alone.

    Attributes:
        version: The version of the layer that it shows.
        keys: As in `drawing`.
        rgb: The finished image, with the shadows of the still shapes alone.
        pixels: The pixels that show a still shape.
        surfaces: What they show, as in `shading`.
        first_places: The surfaces that shadows may change, by row of the shadow map; see `pixels.pixels_by_texel`.
        columns: The columns of the shadow map that these read.
        places: Which surfaces they are.
    """

    version: int
    keys: Int64[np.ndarray, " pixels"]
    rgb: UInt8[np.ndarray, "H W 3"]
    pixels: Int32[np.ndarray, " n"]
    surfaces: Float32[np.ndarray, "8 n"]
    first_places: Int64[np.ndarray, " rows_and_1"]
    columns: Int32[np.ndarray, " n"]
    places: Int32[np.ndarray, " n"]


class StillLayer:
    """Keeps track of which shapes have not moved or changed colour for a while.

    Images are identical with and without the layer: it only saves time.
    """

    def __init__(self, num_shapes: int) -> None:
        """At first all shapes count as still."""
        self.version = 0
        """Number of changes of the set of still shapes. A cached image is valid while this number stays the same."""
        self._members = np.ones(num_shapes, dtype=bool)
        self._still_for = np.zeros(num_shapes, dtype=np.int64)
        self._last: Float64[np.ndarray, "shapes n"] | None = None

    @property
    def still(self) -> Int32[np.ndarray, " n"]:
        """Numbers of the still shapes."""
        return np.flatnonzero(self._members).astype(np.int32)

    @property
    def moving(self) -> Int32[np.ndarray, " n"]:
        """Numbers of the other shapes."""
        return np.flatnonzero(~self._members).astype(np.int32)

    def update(self, appearances: Float64[np.ndarray, "shapes n"]) -> bool:
        """Updates the layer. Returns whether the set of still shapes, or one of them, has changed.

        Args:
            appearances: For each shape the numbers of its place and colour.
        """
        if self._last is None:
            self._last = appearances.copy()
            self.version += 1
            return True
        changed: Bool[np.ndarray, " shapes"] = (appearances != self._last).any(axis=1)
        self._last[:] = appearances
        self._still_for = np.where(changed, 0, self._still_for + 1)
        leaving = self._members & changed
        joining = ~self._members & (self._still_for >= _PATIENCE)
        if not (leaving | joining).any():
            return False
        self._members = (self._members & ~leaving) | joining
        self.version += 1
        return True
