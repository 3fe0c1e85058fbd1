"""Boxes, cylinders and spheres as triangles: the hulls that Bullet's OpenGL renderer draws for them.

Bullet asks each such shape for its farthest point in 42 directions, and draws the hull of these points. Normals point
away from the shape's centre (`btShapeHull`, `eglRendererVisualShapeConverter.cpp` of Bullet 3.2.7). So a box keeps its
corners, but a sphere becomes a polyhedron and a cylinder loses some of its edge.
"""

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.rendering.shapes.mesh_files import NO_TEXTURE_COORDINATE, Mesh

_CYLINDER_STEPS = 32
_CYLINDER_MARGIN_M = 0.001
"""Bullet's cylinders are hulls of two rings with this many points, plus this margin."""


def box(size: Float64[np.ndarray, "3"]) -> Mesh:
    """A box with the given edges, metres, centred."""
    corners = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    return _hull(corners * size)


def sphere(radius_m: float) -> Mesh:
    """A sphere, centred."""
    return _hull(_directions() * radius_m)


def cylinder(radius_m: float, length_m: float) -> Mesh:
    """A cylinder along z, centred."""
    angles = 2 * np.pi * np.arange(_CYLINDER_STEPS) / _CYLINDER_STEPS
    ring = np.stack([radius_m * np.sin(angles), radius_m * np.cos(angles), np.full(_CYLINDER_STEPS, length_m / 2)], 1)
    points = np.stack([ring, ring * (1, 1, -1)], axis=1).reshape(-1, 3)
    directions = _directions()
    farthest = points[np.argmax(directions @ points.T, axis=1)]
    return _hull(np.unique(np.round(farthest + directions * _CYLINDER_MARGIN_M, 9), axis=0))


def _directions() -> Float64[np.ndarray, "42 3"]:
    """Corners of an icosahedron that stands on a corner, and the middles of its edges, as unit vectors."""
    height = 1 / np.sqrt(5)
    ring = np.arange(5) * 2 * np.pi / 5
    upper = np.stack([2 * height * np.cos(ring), 2 * height * np.sin(ring), np.full(5, height)], axis=1)
    poles = np.array([(0.0, 0.0, 1.0), (0.0, 0.0, -1.0)])
    corners = np.concatenate([poles, upper, -upper])
    pairs = [(i, j) for i in range(12) for j in range(i) if np.linalg.norm(corners[i] - corners[j]) < 1.1]
    middles = np.array([corners[i] + corners[j] for i, j in pairs])
    return np.concatenate([corners, middles / np.linalg.norm(middles, axis=1, keepdims=True)])


def _hull(points: Float64[np.ndarray, "n 3"]) -> Mesh:
    """The convex hull of points around the origin. Its corners run counter-clockwise, seen from outside."""
    from scipy.spatial import ConvexHull

    hull = ConvexHull(points)
    triangles = points[hull.simplices]
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    inwards = (normals * hull.equations[:, :3]).sum(axis=1) < 0
    triangles[inwards] = triangles[inwards][:, ::-1]
    radial = triangles / np.linalg.norm(triangles, axis=2, keepdims=True)
    return Mesh(
        triangles.astype(np.float32),
        radial.astype(np.float32),
        np.full((len(triangles), 3, 2), NO_TEXTURE_COORDINATE, np.float32),
    )
