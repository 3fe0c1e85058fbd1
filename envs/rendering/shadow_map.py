"""The shadow map: the depths that the light sees, kept from image to image.

As in Bullet's OpenGL renderer, the light is parallel, the map shows the backs of things, and its texels are
20 m / 4096 = 4.9 mm wide. Only the part with the things that cast shadows is kept.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float32, Float64, UInt16

from calvinbench.envs.rendering.compiled import compiled

LIGHT_POSITION = np.array([-5.0, -40.0, 200.0])
_EYE_DISTANCE_M, _EYE_YAW, _EYE_PITCH = 1.5, np.radians(-80), np.radians(-10)
HIGHLIGHTS_SEEN_FROM = _EYE_DISTANCE_M * np.array(
    [np.cos(_EYE_PITCH) * np.sin(_EYE_YAW), -np.cos(_EYE_PITCH) * np.cos(_EYE_YAW), -np.sin(_EYE_PITCH)]
)
"""The place that highlights are computed for. Bullet's EGL plugin takes its camera's initial pose, whichever camera is
used (its `resetCamera` of 3.2.7: 1.5 m from the origin, yaw -80, pitch -10 degrees). Fitting the place to its images
gave the same."""
_TEXELS = 4096
_HALF_WIDTH_M = 10.0
_NEAR_M, _FAR_M = 1.0, 300.0
MAX_DEPTH = 65535
_HALF_WIDTHS = (350, 1000, _TEXELS // 2)
"""Sizes of the kept part, in texels from the middle: 1.7 m contain table and robot. Each size rounds numbers
differently. So the size depends only on where things are now, and images depend only on the state."""


@cache
def light_matrix() -> Float64[np.ndarray, "4 4"]:
    """From the world to clip coordinates of the light, -1..1 in all three. Read-only."""
    backward = LIGHT_POSITION / np.linalg.norm(LIGHT_POSITION)
    # Bullet's btPlaneSpace1: a vector perpendicular to the light's direction, used as up.
    up = np.array([0.0, -backward[2], backward[1]]) / np.hypot(backward[1], backward[2])
    right = np.cross(up, backward)
    right /= np.linalg.norm(right)
    view = np.eye(4)
    view[:3, :3] = [right, np.cross(backward, right), backward]
    view[:3, 3] = -view[:3, :3] @ LIGHT_POSITION
    lens = np.diag([1 / _HALF_WIDTH_M, 1 / _HALF_WIDTH_M, -2 / (_FAR_M - _NEAR_M), 1.0])
    lens[2, 3] = -(_FAR_M + _NEAR_M) / (_FAR_M - _NEAR_M)
    matrix: Float64[np.ndarray, "4 4"] = lens @ view
    matrix.flags.writeable = False
    return matrix


def light_direction() -> Float64[np.ndarray, "3"]:
    """The direction in which the light goes, as a unit vector."""
    direction: Float64[np.ndarray, "3"] = -LIGHT_POSITION / np.linalg.norm(LIGHT_POSITION)
    return direction


@dataclass(frozen=True, slots=True)
class ShadowMap:
    """A part of the light's image.

    Attributes:
        half_width: Texels from the middle of the whole map to the borders of this part.
        still: Depths of what does not move.
        depths: Depths of everything.
        projection: From the world to clip coordinates of this part.
        lookup: From the world to column and row of the texel whose centre is next below, and to the depth.
    """

    half_width: int
    still: UInt16[np.ndarray, "rows columns"]
    depths: UInt16[np.ndarray, "rows columns"]
    projection: Float64[np.ndarray, "4 4"]
    lookup: Float32[np.ndarray, "3 4"]

    def suits(self, spheres: Float64[np.ndarray, "n 4"]) -> bool:
        """Whether this part suits spheres (centre and radius, in the world) around all that casts shadows."""
        return self.half_width == _half_width_around(spheres)


def map_around(spheres: Float64[np.ndarray, "n 4"]) -> ShadowMap:
    """The smallest part of the map that contains spheres (centre and radius, in the world), still empty."""
    half_width = _half_width_around(spheres)
    scale = _TEXELS / 2 / half_width
    projection = np.diag([scale, scale, 1.0, 1.0]) @ light_matrix()
    lookup = np.diag([half_width, half_width, MAX_DEPTH / 2]) @ projection[:3]
    lookup[:, 3] += (half_width - 0.5, half_width - 0.5, MAX_DEPTH / 2)
    still = np.full((2 * half_width, 2 * half_width), MAX_DEPTH, dtype=np.uint16)
    return ShadowMap(half_width, still, still.copy(), projection, lookup.astype(np.float32))


@compiled
def _reach_m(spheres: Float64[np.ndarray, "n 4"], light: Float64[np.ndarray, "4 4"]) -> float:
    """How far spheres reach from the middle of the whole map, the greater of columns and rows, metres."""
    reach_m = 0.0
    for k in range(len(spheres)):
        x, y, z, radius = spheres[k, 0], spheres[k, 1], spheres[k, 2], spheres[k, 3]
        for i in range(2):
            middle = (light[i, 0] * x + light[i, 1] * y + light[i, 2] * z) * _HALF_WIDTH_M
            reach_m = max(reach_m, abs(middle) + radius)
    return reach_m


def _half_width_around(spheres: Float64[np.ndarray, "n 4"]) -> int:
    """Whatever is outside the whole map casts no shadow. The whole map is then kept."""
    if not len(spheres):
        return _HALF_WIDTHS[0]
    texels = _reach_m(spheres, light_matrix()) / _HALF_WIDTH_M * _TEXELS / 2
    return next((half_width for half_width in _HALF_WIDTHS if texels <= half_width), _HALF_WIDTHS[-1])
