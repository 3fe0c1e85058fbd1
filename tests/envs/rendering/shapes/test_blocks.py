"""Blocks: that no triangle is lost, and that spheres and cones hold what they stand for."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from calvinbench.envs.rendering.shapes.blocks import BLOCK, GROUP, Triangles, make_blocks
from calvinbench.envs.rendering.shapes.mesh_files import Mesh
from calvinbench.envs.rendering.shapes.primitives import box, sphere
from support.small_worlds import mesh_of

_SIZES = (1, 63, 64, 65, 200, 1000)


def scattered(num_triangles: int) -> Mesh:
    generator = np.random.default_rng(num_triangles)
    centres = generator.uniform(-1, 1, (num_triangles, 1, 3))
    return mesh_of(centres + generator.normal(0, 0.05, (num_triangles, 3, 3)))


def level(num_triangles: int) -> Mesh:
    """Triangles in one plane, facing one way."""
    steps = np.arange(num_triangles)[:, None, None] * np.array([0.01, 0.003, 0.0])
    return mesh_of(steps + np.array([(0, 0, 0.7), (0.02, 0, 0.7), (0, 0.03, 0.7)]))


_MESHES = [*(scattered(size) for size in _SIZES), box(np.array([0.1, 0.2, 0.3])), sphere(0.2), level(150)]


@pytest.fixture(scope="module")
def triangles() -> Triangles:
    return make_blocks(_MESHES)


def members(triangles: Triangles, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and corners (n, 3, 3) of a block's triangles, without those that fill it up."""
    corners = triangles.corners[block].reshape(-1, 3, 3, GROUP).transpose(0, 3, 1, 2).reshape(BLOCK, 3, 3)
    real = (corners != corners[:, :1]).any(axis=(1, 2))
    return triangles.numbers[block][real], corners[real]


def test_each_triangle_is_in_one_block_of_its_shape_with_its_own_corners(triangles: Triangles):
    positions = np.concatenate([mesh.positions for mesh in _MESHES])
    shapes = np.repeat(np.arange(len(_MESHES)), [len(mesh.positions) for mesh in _MESHES])
    seen = []
    for block, shape in enumerate(triangles.block_shapes):
        numbers, corners = members(triangles, block)
        np.testing.assert_array_equal(corners, positions[numbers])
        assert (shapes[numbers] == shape).all()
        seen.extend(numbers.tolist())
    assert sorted(seen) == list(range(len(positions)))
    np.testing.assert_array_equal(triangles.shapes, shapes)


def test_blocks_are_full_but_for_one_of_each_shape(triangles: Triangles):
    counts = np.diff(triangles.first_blocks)
    assert counts.tolist() == [-(-len(mesh.positions) // BLOCK) for mesh in _MESHES]
    for shape, (first, last) in enumerate(zip(triangles.first_blocks, triangles.first_blocks[1:], strict=False)):
        assert (triangles.block_shapes[first:last] == shape).all()


def test_spheres_hold_their_corners(triangles: Triangles):
    for block, sphere_of_block in enumerate(triangles.spheres):
        _, corners = members(triangles, block)
        assert (np.linalg.norm(corners - sphere_of_block[:3], axis=2) <= sphere_of_block[3] + 1e-6).all()
    for shape, mesh in enumerate(_MESHES):
        centre, radius = triangles.bounds[shape, :3], triangles.bounds[shape, 3]
        distances = np.linalg.norm(mesh.positions - centre, axis=2)
        assert distances.max() == pytest.approx(radius, abs=1e-6)


def test_cones_hold_their_normals_and_are_finite(triangles: Triangles):
    assert np.isfinite(triangles.cones).all()
    for block, cone in enumerate(triangles.cones):
        _, corners = members(triangles, block)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).astype(float)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        if cone[3] <= 1:
            assert (normals @ cone[:3] >= np.sqrt(1 - cone[3] ** 2) - 1e-4).all()
    # Triangles that face one way make narrow cones: without them nothing would be culled.
    assert (triangles.cones[triangles.block_shapes == len(_MESHES) - 1, 3] < 1e-3).all()


def test_a_cone_around_one_direction_is_narrow_and_finite():
    generator = np.random.default_rng(3)
    planes = [mesh_of(generator.normal(size=(1, 3, 3))) for _ in range(100)]
    cones = make_blocks(planes).cones
    assert np.isfinite(cones).all()
    assert (cones[:, 3] < 1e-3).all()


def test_blocks_of_a_smooth_surface_are_small_and_face_one_way():
    points = np.random.default_rng(0).normal(size=(3000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    corners = points[ConvexHull(points).simplices]
    inwards = (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) * corners[:, 0]).sum(axis=1) < 0
    corners[inwards] = corners[inwards][:, ::-1]
    ball = make_blocks([mesh_of(corners)])
    assert np.median(ball.spheres[:, 3]) < 0.35
    assert np.median(ball.cones[:, 3]) < 0.45


def test_what_is_known_of_a_triangle_is_found_by_its_number(triangles: Triangles):
    number = sum(_SIZES) + 5
    mesh = _MESHES[len(_SIZES)]
    known = triangles.attributes[number]
    first = mesh.positions[5, 0]
    np.testing.assert_array_equal(known[:3], first)
    np.testing.assert_allclose(known[3:9].reshape(2, 3), mesh.positions[5, 1:] - first)
    np.testing.assert_array_equal(known[9:18].reshape(3, 3), mesh.normals[5])
    np.testing.assert_array_equal(known[18:].reshape(3, 2), mesh.texture_coordinates[5])
