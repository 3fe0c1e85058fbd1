"""Boxes, cylinders and spheres: their bounds, and which way they face."""

from collections import Counter

import numpy as np
import pytest

from calvinbench.envs.rendering.shapes.mesh_files import Mesh
from calvinbench.envs.rendering.shapes.primitives import box, cylinder, sphere

_SHAPES = {"box": box(np.array([0.2, 0.4, 1.0])), "sphere": sphere(0.3), "cylinder": cylinder(0.13, 0.24)}


@pytest.fixture(params=_SHAPES, ids=str)
def mesh(request: pytest.FixtureRequest) -> Mesh:
    return _SHAPES[request.param]


def test_triangles_face_outwards(mesh: Mesh):
    a, b, c = mesh.positions.astype(float).transpose(1, 0, 2)
    assert ((np.cross(b - a, c - a) * (a + b + c)).sum(axis=1) > 0).all()


def test_the_hull_is_closed(mesh: Mesh):
    edges = Counter()
    for triangle in np.round(mesh.positions, 6).tolist():
        for start, end in ((0, 1), (1, 2), (2, 0)):
            edges[tuple(triangle[start]), tuple(triangle[end])] += 1
    assert set(edges.values()) == {1}
    assert all((end, start) in edges for start, end in edges)


def test_normals_point_away_from_the_centre(mesh: Mesh):
    away = mesh.positions / np.linalg.norm(mesh.positions, axis=2, keepdims=True)
    np.testing.assert_allclose(mesh.normals, away, atol=1e-6)


def test_a_box_has_its_eight_corners():
    corners = np.unique(_SHAPES["box"].positions.reshape(-1, 3), axis=0)
    expected = [(x, y, z) for x in (-0.1, 0.1) for y in (-0.2, 0.2) for z in (-0.5, 0.5)]
    np.testing.assert_allclose(corners, expected, atol=1e-7)
    assert len(_SHAPES["box"].positions) == 12


def test_a_sphere_s_42_corners_lie_on_it():
    corners = np.unique(np.round(_SHAPES["sphere"].positions.reshape(-1, 3), 6), axis=0)
    assert len(corners) == 42
    np.testing.assert_allclose(np.linalg.norm(corners, axis=1), 0.3, atol=1e-6)


def test_a_cylinder_fills_its_bounds_but_for_a_margin():
    corners = _SHAPES["cylinder"].positions.reshape(-1, 3)
    radii = np.hypot(corners[:, 0], corners[:, 1])
    assert radii.max() == pytest.approx(0.13, abs=2e-3)
    assert radii.min() > 0.12
    np.testing.assert_allclose(corners[:, 2].max(), 0.12, atol=1.5e-3)
    np.testing.assert_allclose(corners[:, 2].min(), -0.12, atol=1.5e-3)
