"""The still layer: the shapes that have not moved for a while, and the cached image of them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, UInt8

from calvinbench.envs.rendering.compiled import compiled

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
        self.still: Int32[np.ndarray, " n"] = np.arange(num_shapes, dtype=np.int32)
        """Numbers of the still shapes."""
        self.moving: Int32[np.ndarray, " n"] = np.zeros(0, dtype=np.int32)
        """Numbers of the other shapes."""
        self._members = np.ones(num_shapes, dtype=bool)
        self._still_for = np.zeros(num_shapes, dtype=np.int64)
        self._last: Float64[np.ndarray, "shapes n"] | None = None

    def update(self, appearances: Float64[np.ndarray, "shapes n"]) -> bool:
        """Updates the layer. Returns whether the set of still shapes, or one of them, has changed.

        Args:
            appearances: For each shape the numbers of its place and colour.
        """
        if self._last is None:
            self._last = appearances.copy()
            self.version += 1
            return True
        if not _follow(appearances, self._last, self._still_for, self._members):
            return False
        self.still = np.flatnonzero(self._members).astype(np.int32)
        self.moving = np.flatnonzero(~self._members).astype(np.int32)
        self.version += 1
        return True


@compiled
def _follow(
    appearances: Float64[np.ndarray, "shapes n"],
    last: Float64[np.ndarray, "shapes n"],
    still_for: Int64[np.ndarray, " shapes"],
    members: Bool[np.ndarray, " shapes"],
) -> bool:
    """Counts the steps for which each shape has been still. Returns whether a shape left the layer or joined it.

    Args:
        appearances: What each shape looks like now.
        last: What it looked like a step before, to be updated.
        still_for: Steps without a change, to be updated.
        members: Which shapes are in the layer, to be updated.
    """
    is_other = False
    for shape in range(len(members)):
        still_for[shape] += 1
        for k in range(appearances.shape[1]):
            if appearances[shape, k] != last[shape, k]:
                last[shape, k] = appearances[shape, k]
                still_for[shape] = 0
        belongs = still_for[shape] > 0 if members[shape] else still_for[shape] >= _PATIENCE
        is_other |= belongs != members[shape]
        members[shape] = belongs
    return is_other
