"""Which triangle is seen at each pixel, beside rays cast at every triangle."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import Delaunay

from support.ray_caster import cast
from support.small_worlds import (
    AWAY_FROM_LIGHT,
    Thing,
    depth_m,
    mesh_of,
    renderer_of,
    square,
    tag,
    tags,
    view_from,
)

NEAR_M, FAR_M = 0.1, 20.0
_EYE = (0.3, -0.2, 3.0)


def things_of(triangles: np.ndarray) -> list[Thing]:
    """A thing for each triangle, tagged by its number."""
    return [Thing(mesh_of([triangle], AWAY_FROM_LIGHT), tag(number)) for number, triangle in enumerate(triangles)]


def random_triangles(kind: str) -> np.ndarray:
    """Triangles before a camera at `_EYE` that looks down; `cut` ones reach behind it."""
    generator = np.random.default_rng(5)
    if kind == "small":
        centres = generator.uniform(-0.8, 0.8, (400, 1, 3))
        return centres + generator.normal(0, 0.06, (400, 3, 3))
    if kind == "large":
        return generator.uniform(-1.5, 1.5, (60, 3, 3))
    ahead = generator.uniform(-1.2, 1.2, (40, 1, 3)) + generator.normal(0, 0.2, (40, 2, 3))
    behind = np.array(_EYE) + generator.uniform((-1, -1, 0), (1, 1, 1), (40, 1, 3))
    return np.concatenate([ahead, behind], axis=1)


@pytest.mark.parametrize("kind", ["small", "large", "cut"])
@pytest.mark.parametrize("size", [97, 33])
def test_the_nearest_front_is_seen_at_each_pixel_at_its_distance(kind: str, size: int):
    triangles = random_triangles(kind).astype(np.float32)
    view = view_from(
        _EYE, (0.0, 0.0, 0.0), size=size, fov_degrees=35 if kind == "small" else 60, near_m=NEAR_M, far_m=FAR_M
    )
    expected = cast(triangles, view, NEAR_M)
    rendered = renderer_of(things_of(triangles)).render(view, fixed=False)
    assert expected.sure.mean() > 0.9
    assert len(np.unique(expected.nearest[expected.sure])) > 12
    np.testing.assert_array_equal(tags(rendered.rgb)[expected.sure], expected.nearest[expected.sure])
    seen = expected.sure & (expected.nearest >= 0)
    inverse = 1 / depth_m(rendered.z_buffer, NEAR_M, FAR_M)[seen]
    # A depth buffer is even in the inverse of distance; corners are moved to a grid of 1/256 pixel.
    most_off = 5e-4 if kind == "cut" else 1e-4
    np.testing.assert_allclose(inverse, 1 / expected.depth_m[seen], atol=most_off)


@pytest.mark.parametrize("num_points", [12, 400, 6000])
def test_triangles_that_share_edges_leave_no_gap(num_points: int):
    generator = np.random.default_rng(num_points)
    border = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    points = np.concatenate([border, generator.uniform(-1, 1, (num_points, 2))])
    corners = np.column_stack([points, np.zeros(len(points))])[Delaunay(points).simplices]
    renderer = renderer_of([Thing(mesh_of(corners, AWAY_FROM_LIGHT), tag(7))])
    for eye, up in (((0.1, 0.2, 1.1), (0, 1, 0)), ((0.6, -0.7, 0.35), (0, 0, 1))):
        view = view_from(eye, (0, 0, 0), size=120, fov_degrees=15, up=up)
        seen = tags(renderer.render(view, fixed=False).rgb)
        assert (seen == 7).all()


@pytest.mark.parametrize(("size", "reach_pixels", "seed"), [(1, 20, 1), (8, 200, 1)])
def test_an_edge_through_a_pixel_s_centre_leaves_no_gap_however_far_it_reaches(size, reach_pixels, seed):
    generator, grid_m = np.random.default_rng(seed), 2.0 / size / 256
    view = view_from((0, 0, 1), (0, 0, 0), size=size, fov_degrees=90)
    for _ in range(150):
        pixel = generator.integers(0, size, 2)
        centre, along = pixel * 256 + 128, generator.integers(-reach_pixels * 256, reach_pixels * 256 + 1, 2)
        beside = np.array([-along[1], along[0]]) + np.round(generator.uniform(-0.3, 0.3) * along)
        corners = [centre + along, centre - along, centre + beside, centre - beside]
        points = np.column_stack([np.array(corners) * grid_m - 1, np.zeros(4)])
        turns = [np.roll(order, generator.integers(3)) for order in ([0, 2, 1], [0, 1, 3])]
        seen = tags(renderer_of([Thing(mesh_of(points[turns], AWAY_FROM_LIGHT), tag(7))]).render(view, fixed=False).rgb)
        assert seen[size - 1 - pixel[1], pixel[0]] == 7


def test_backs_are_not_seen():
    level = square(1.0, normal=AWAY_FROM_LIGHT)
    renderer = renderer_of([Thing(level, tag(3))])
    assert (tags(renderer.render(view_from((0, 0, 1), (0, 0, 0)), fixed=False).rgb) == 3).any()
    assert (tags(renderer.render(view_from((0, 0, -1), (0, 0, 0)), fixed=False).rgb) == -1).all()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_equally_near_things_the_one_whose_centre_is_farther_is_seen(order):
    # Bullet draws far centres first, and OpenGL keeps what it has at equal depth.
    level = square(1.0, normal=AWAY_FROM_LIGHT)
    things = [Thing(level, tag(5), centre_m=(0.0, 0.0, 0.3)), Thing(level, tag(6), centre_m=(0.0, 0.0, -0.3))]
    renderer = renderer_of([things[number] for number in order])
    assert (tags(renderer.render(view_from((0, 0, 1), (0, 0, 0)), fixed=False).rgb) == 6).all()
    below = mesh_of(level.positions[:, ::-1], AWAY_FROM_LIGHT)
    renderer = renderer_of([replace(things[number], mesh=below) for number in order])
    assert (tags(renderer.render(view_from((0, 0, -1), (0, 0, 0)), fixed=False).rgb) == 5).all()


def test_of_equally_near_triangles_of_a_thing_the_first_is_seen():
    upper, dark = square(1.0).positions, square(1.0, normal=AWAY_FROM_LIGHT)
    for positions, normals, is_dark in (
        ([*dark.positions, *upper], [AWAY_FROM_LIGHT] * 2 + [(0, 0, 1)] * 2, True),
        ([*upper, *dark.positions], [(0, 0, 1)] * 2 + [AWAY_FROM_LIGHT] * 2, False),
    ):
        normal = np.repeat(np.array(normals)[:, None], 3, axis=1)
        rgb = renderer_of([Thing(mesh_of(positions, normal))]).render(view_from((0, 0, 1), (0, 0, 0)), fixed=False).rgb
        assert (rgb.max() < 130) == is_dark


@pytest.mark.parametrize(("depth_bits", "is_hidden"), [(16, False), (24, True)])
def test_a_coarse_depth_buffer_does_not_tell_near_surfaces_apart(depth_bits: int, is_hidden: bool):
    # At 4 m with a near plane of 1 cm a step of 16 bits is 24 mm, one of 24 bits 0.1 mm.
    low, high = square(1.0, 0.0, normal=AWAY_FROM_LIGHT), square(1.0, 0.003, normal=AWAY_FROM_LIGHT)
    things = [Thing(low, tag(1), centre_m=(0.0, 0.0, -1.0)), Thing(high, tag(2), centre_m=(0.0, 0.0, 1.0))]
    view = view_from((0, 0, 4), (0, 0, 0), fov_degrees=20)
    shown = tags(renderer_of(things, depth_bits).render(view, fixed=False).rgb)
    assert (shown == (2 if is_hidden else 1)).all()


def test_what_lies_beyond_the_far_plane_is_not_seen():
    renderer = renderer_of([Thing(square(9.0, normal=AWAY_FROM_LIGHT), tag(4))])
    for far_m, seen in ((3.1, 4), (2.9, -1)):
        view = view_from((0, 0, 3), (0, 0, 0), far_m=far_m)
        assert (tags(renderer.render(view, fixed=False).rgb) == seen).all()
