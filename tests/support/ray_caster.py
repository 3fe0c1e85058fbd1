"""Another way to find what a camera sees: rays through pixel centres, cut with every triangle, in double precision."""

from dataclasses import dataclass

import numpy as np

from calvinbench.envs.rendering.rendered import View

_UNSURE_PIXELS = 0.02
"""OpenGL's grid is 1/256 pixel: an edge that passes a centre nearer than this may fall to either side."""


@dataclass(frozen=True)
class Cast:
    """What is seen at each pixel, top row first.

    Attributes:
        nearest: Number of the triangle, -1 for none.
        depth_m: Distance along the camera's axis; infinite where there is none.
        sure: Whether rays close by hit the same.
    """

    nearest: np.ndarray
    depth_m: np.ndarray
    sure: np.ndarray


def cast(triangles: np.ndarray, view: View, near_m: float) -> Cast:
    """Casts rays at triangles (n, 3, 3) of which only fronts are seen."""
    centre = _cast_at(triangles, view, near_m, 0.0, 0.0)
    around = [(x, y) for x in (-_UNSURE_PIXELS, _UNSURE_PIXELS) for y in (-_UNSURE_PIXELS, _UNSURE_PIXELS)]
    sure = np.ones_like(centre[0], dtype=bool)
    for x, y in around:
        sure &= _cast_at(triangles, view, near_m, x, y)[0] == centre[0]
    return Cast(*centre, sure)


def _cast_at(triangles: np.ndarray, view: View, near_m: float, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    size = view.size
    matrix = np.array(view.view).reshape(4, 4).T
    scale = view.projection[0]
    eye = -matrix[:3, :3].T @ matrix[:3, 3]
    columns, rows = np.meshgrid(np.arange(size) + 0.5 + x, np.arange(size)[::-1] + 0.5 + y)
    rays = np.stack([(2 * columns / size - 1) / scale, (2 * rows / size - 1) / scale, -np.ones_like(columns)], axis=-1)
    rays = rays @ matrix[:3, :3]
    nearest, depth = np.full((size, size), -1), np.full((size, size), np.inf)
    for number, (a, b, c) in enumerate(triangles.astype(float)):
        normal = np.cross(b - a, c - a)
        towards = rays @ normal
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = ((a - eye) @ normal) / towards
        hits = (towards < 0) & (distance > near_m) & (distance < depth)
        points = eye + distance[..., None] * rays
        for start, end in ((a, b), (b, c), (c, a)):
            with np.errstate(invalid="ignore"):
                hits &= np.cross(end - start, points - start) @ normal >= 0
        nearest[hits], depth[hits] = number, distance[hits]
    return nearest, depth
