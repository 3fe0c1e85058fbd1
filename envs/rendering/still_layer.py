"""What does not move is drawn once: which shapes are still, and the image of them that is kept."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, UInt8

_PATIENCE = 24
"""Images for which a shape must stay where it is before it joins the layer: 0.8 s of CALVIN's 30 Hz."""


@dataclass(frozen=True, slots=True)
class StillPicture:
    """A camera's image of the still shapes alone.

    Attributes:
        version: Of the layer that it shows.
        keys: As in `drawing`.
        surfaces: As in `shading`.
        rgb: The finished image, in the shadows of the still shapes alone.
    """

    version: int
    keys: Int64[np.ndarray, " pixels"]
    surfaces: Float32[np.ndarray, "8 pixels"]
    rgb: UInt8[np.ndarray, "H W 3"]


class StillLayer:
    """Keeps track of which shapes have not moved or changed colour for a while.

    Images with and without the layer are the same, number for number: it only saves time.
    """

    def __init__(self, num_shapes: int) -> None:
        """At first all shapes count as still."""
        self.version = 0
        """Counts the changes of the set of still shapes, and so tells whether a kept image holds."""
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
        """Takes in how the shapes stand now; returns whether the set of still shapes, or one of them, has changed.

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
