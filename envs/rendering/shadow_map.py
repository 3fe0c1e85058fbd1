"""Who stands in whose light: the depths that the light sees, kept from picture to picture.

As in Bullet's OpenGL renderer, the light shines in parallel, the map shows the backs of things, and its texels are
20 m / 4096 = 4.9 mm wide. Only the part of it where something can cast a shadow is kept.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, UInt16

LIGHT_POSITION = np.array([-5.0, -40.0, 200.0])
_EYE_DISTANCE_M, _EYE_YAW, _EYE_PITCH = 1.5, np.radians(-80), np.radians(-10)
HIGHLIGHTS_SEEN_FROM = _EYE_DISTANCE_M * np.array(
    [np.cos(_EYE_PITCH) * np.sin(_EYE_YAW), -np.cos(_EYE_PITCH) * np.cos(_EYE_YAW), -np.sin(_EYE_PITCH)]
)
"""Bullet's EGL plugin reckons highlights for the pose that its camera starts with (its `resetCamera` of 3.2.7: 1.5 m
from the origin, yaw -80, pitch -10 degrees), whatever camera looks; fitting the place to its pictures gave the same."""
_TEXELS = 4096
_HALF_WIDTH_M = 10.0
_NEAR_M, _FAR_M = 1.0, 300.0
MAX_DEPTH = 65535
_MARGIN = 210
"""Texels kept around what casts shadows: about a metre for things to move."""


def light_matrix() -> Float64[np.ndarray, "4 4"]:
    """From the world to clip coordinates of the light, -1..1 in all three."""
    backward = LIGHT_POSITION / np.linalg.norm(LIGHT_POSITION)
    # Bullet's btPlaneSpace1: a vector across the light's direction, to stand for up.
    up = np.array([0.0, -backward[2], backward[1]]) / np.hypot(backward[1], backward[2])
    right = np.cross(up, backward)
    right /= np.linalg.norm(right)
    view = np.eye(4)
    view[:3, :3] = [right, np.cross(backward, right), backward]
    view[:3, 3] = -view[:3, :3] @ LIGHT_POSITION
    lens = np.diag([1 / _HALF_WIDTH_M, 1 / _HALF_WIDTH_M, -2 / (_FAR_M - _NEAR_M), 1.0])
    lens[2, 3] = -(_FAR_M + _NEAR_M) / (_FAR_M - _NEAR_M)
    return lens @ view


def light_direction() -> Float64[np.ndarray, "3"]:
    """Where the light goes, as a unit vector."""
    direction: Float64[np.ndarray, "3"] = -LIGHT_POSITION / np.linalg.norm(LIGHT_POSITION)
    return direction


@dataclass(frozen=True, slots=True)
class ShadowMap:
    """A part of the light's picture.

    Attributes:
        first_column: Of the whole map's columns, where this part begins.
        first_row: Likewise.
        still: Depths of what does not move.
        depths: Depths of everything.
        projection: From the world to clip coordinates of this part.
        lookup: From the world to the column and row of the texel whose centre is next below, and the depth.
    """

    first_column: int
    first_row: int
    still: UInt16[np.ndarray, "rows columns"]
    depths: UInt16[np.ndarray, "rows columns"]
    projection: Float64[np.ndarray, "4 4"]
    lookup: Float32[np.ndarray, "3 4"]

    def holds(self, spheres: Float64[np.ndarray, "n 4"]) -> bool:
        """Whether spheres (centre and radius, in the world) lie within this part, or outside the whole map."""
        low, high = _extent(spheres)
        rows, columns = self.depths.shape
        first = np.array([self.first_column, self.first_row])
        last = first + (columns, rows)
        return bool(((low >= first) | (first <= 0)).all() and ((high <= last) | (last >= _TEXELS)).all())


def map_around(spheres: Float64[np.ndarray, "n 4"]) -> ShadowMap:
    """An empty part of the map with room for things within spheres (centre and radius, in the world) to move."""
    low, high = _extent(spheres)
    first = np.clip(np.floor(low) - _MARGIN, 0, _TEXELS - 2).astype(int)
    last = np.clip(np.ceil(high) + _MARGIN, first + 2, _TEXELS).astype(int)
    columns, rows = last - first
    window = np.eye(4)
    window[0, 0], window[1, 1] = _TEXELS / columns, _TEXELS / rows
    window[0, 3] = (_TEXELS - 2 * first[0]) / columns - 1
    window[1, 3] = (_TEXELS - 2 * first[1]) / rows - 1
    projection = window @ light_matrix()
    lookup = np.diag([columns / 2, rows / 2, MAX_DEPTH / 2]) @ projection[:3]
    lookup[:, 3] += (columns / 2 - 0.5, rows / 2 - 0.5, MAX_DEPTH / 2)
    still = np.full((rows, columns), MAX_DEPTH, dtype=np.uint16)
    return ShadowMap(int(first[0]), int(first[1]), still, still.copy(), projection, lookup.astype(np.float32))


def _extent(spheres: Float64[np.ndarray, "n 4"]) -> tuple[Float64[np.ndarray, "2"], Float64[np.ndarray, "2"]]:
    """The lowest and highest column and row of the whole map that spheres reach."""
    if not len(spheres):
        return np.zeros(2), np.zeros(2)
    matrix = light_matrix()
    centres = (spheres[:, :3] @ matrix[:2, :3].T + matrix[:2, 3] + 1) * _TEXELS / 2
    radii = spheres[:, 3:] * _TEXELS / 2 / _HALF_WIDTH_M
    return (centres - radii).min(axis=0), (centres + radii).max(axis=0)
