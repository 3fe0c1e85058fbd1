"""Shadows: where they fall, how dark they are, and that they follow what casts them."""

from dataclasses import replace

import numpy as np
import pytest

from calvinbench.envs.rendering.renderer import Renderer
from calvinbench.envs.rendering.shadow_map import light_direction
from calvinbench.envs.rendering.shapes.primitives import box
from support.small_worlds import (
    Thing,
    frames_at,
    geometry_of_things,
    mesh_of,
    renderer_of,
    square,
    view_from,
)

_SIZE, _EYE_HEIGHT_M, _FOV_DEGREES = 101, 8.0, 16.0
_ABOVE = view_from((0.0, 0.0, _EYE_HEIGHT_M), (0.0, 0.0, 0.0), size=_SIZE, fov_degrees=_FOV_DEGREES)
_FLOOR = Thing(square(2.0), (0.6, 0.6, 0.6), casts_shadow=False)
_BOX = Thing(box(np.array([0.2, 0.3, 0.1])), (0.6, 0.6, 0.6))
_SHEET = Thing(mesh_of(square(0.2).positions[:, ::-1]), (0.6, 0.6, 0.6))
"""Faces down, so that the light sees its back."""
_OVER_THE_FLOOR = (0.05, -0.1, 1.5)


def picture(caster: Thing | None, position=_OVER_THE_FLOOR) -> np.ndarray:
    things = [_FLOOR] if caster is None else [_FLOOR, caster]
    renderer = Renderer(geometry_of_things(things))
    renderer.update(frames_at((0.0, 0.0, 0.0), position)[: len(things)])
    return renderer.render(_ABOVE, fixed=False).rgb


def floor_points() -> tuple[np.ndarray, np.ndarray]:
    """The x and y of the floor that each pixel shows."""
    pixel_m = 2 * _EYE_HEIGHT_M * np.tan(np.radians(_FOV_DEGREES / 2)) / _SIZE
    along = (np.arange(_SIZE) - _SIZE // 2) * pixel_m
    return np.meshgrid(along, -along)


def distance_to_shadow(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How far each pixel of the floor lies outside the shadow of a box, metres; negative inside."""
    x, y = floor_points()
    nearest = np.full(x.shape, np.inf)
    for z in np.linspace(low[2], high[2], 21):
        moved = light_direction() * z / -light_direction()[2]
        outside = [low[0] + moved[0] - x, x - high[0] - moved[0], low[1] + moved[1] - y, y - high[1] - moved[1]]
        nearest = np.minimum(nearest, np.max(outside, axis=0))
    return nearest


def test_a_box_darkens_the_floor_along_the_light_by_three_tenths_of_its_light():
    low, high = np.array([-0.1, -0.15, -0.05]) + _OVER_THE_FLOOR, np.array([0.1, 0.15, 0.05]) + _OVER_THE_FLOOR
    distance = distance_to_shadow(low, high)
    lit, shaded = picture(None), picture(_BOX)
    x, y = floor_points()
    nearer = _EYE_HEIGHT_M / (_EYE_HEIGHT_M - high[2])
    hidden = (
        (x > low[0] * 1.3 - 0.05) & (x < high[0] * nearer + 0.02) & (y > low[1] * 1.3) & (y < high[1] * nearer + 0.02)
    )
    # Texels of the map are 4.9 mm wide.
    inside, outside = ~hidden & (distance < -0.008), ~hidden & (distance > 0.008)
    assert inside.sum() > 50
    light = 0.5 - 0.5 * light_direction()[2]
    np.testing.assert_allclose(shaded[inside], 255 * 0.6 * (0.5 + 0.5 * 0.7 * light), atol=1)
    np.testing.assert_array_equal(shaded[outside], lit[outside])


def test_backs_cast_shadows_and_fronts_do_not():
    lit = picture(None)
    turned = replace(_SHEET, mesh=square(0.2))
    x, y = floor_points()
    free = np.hypot(x - 0.05, y + 0.1) > 0.4
    changed = np.array([(picture(thing) != lit).any(axis=-1)[free].sum() for thing in (_SHEET, turned)])
    assert changed[0] > 20
    assert changed[1] == 0


def test_what_casts_no_shadow_leaves_the_floor_lit():
    x, y = floor_points()
    free = np.hypot(x - 0.05, y + 0.1) > 0.4
    np.testing.assert_array_equal(picture(replace(_SHEET, casts_shadow=False))[free], picture(None)[free])


def test_without_shadows_nothing_is_darkened():
    things = [_FLOOR, _BOX]
    renderer = Renderer(geometry_of_things(things), shadows=False)
    renderer.update(frames_at((0.0, 0.0, 0.0), (9.0, 9.0, 1.0)))
    np.testing.assert_array_equal(renderer.render(_ABOVE, fixed=False).rgb, picture(None))


def test_the_edge_of_a_shadow_is_soft_over_a_texel():
    # 0.1 mm of the floor a pixel: a texel is 49 of them.
    shift = light_direction() * 1.5 / -light_direction()[2] + _OVER_THE_FLOOR
    edge = (shift[0] + 0.2, shift[1])
    view = view_from((*edge, 0.5), (*edge, 0.0), size=200, fov_degrees=2 * np.degrees(np.arctan(0.01 / 0.5)))
    renderer = Renderer(geometry_of_things([_FLOOR, _SHEET]))
    renderer.update(frames_at((0.0, 0.0, 0.0), _OVER_THE_FLOOR))
    row = renderer.render(view, fixed=False).rgb[100, :, 0].astype(int)
    assert (np.diff(row) >= 0).all()
    between = (row > row[0] + 1) & (row < row[-1] - 1)
    assert row[-1] - row[0] > 15
    assert 30 <= between.sum() <= 55


def test_on_average_the_edge_of_a_shadow_is_where_geometry_has_it():
    renderer, generator = Renderer(geometry_of_things([_FLOOR, _SHEET])), np.random.default_rng(0)
    errors = []
    for _ in range(40):
        place = np.array(_OVER_THE_FLOOR) + (*generator.uniform(-0.1, 0.1, 2), 0.0)
        renderer.update(frames_at((0.0, 0.0, 0.0), place))
        shift = light_direction() * 1.5 / -light_direction()[2] + place
        for axis in (0, 1):
            edge = shift[:2] + 0.2 * np.eye(2)[axis]
            view = view_from((*edge, 0.5), (*edge, 0.0), size=200, fov_degrees=2 * np.degrees(np.arctan(0.01 / 0.5)))
            rgb = renderer.render(view, fixed=False).rgb[:, :, 0].astype(float)
            across = rgb[100] if axis == 0 else rgb[::-1, 100]
            errors.append((across < (across[0] + across[-1]) / 2).sum() - 100)
    # Pixels are 0.1 mm: a map moved by half a texel would show as 24 of them.
    assert np.abs(np.reshape(errors, (-1, 2)).mean(axis=0)).max() < 10


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("far", [(0.4, -0.3, 0.5), (3.0, 2.0, 0.4), (-6.0, 8.5, 1.0), (30.0, 0.0, 1.0)], ids=str)
def test_shadows_stay_right_when_a_caster_leaves_the_map_s_part_and_the_map(far, fixed: bool):
    geometry, moved = geometry_of_things([_FLOOR, _SHEET, _BOX]), []
    renderer = Renderer(geometry)
    # The box moves on in view of the camera, and its shadow over the floor, whose picture is kept.
    for number, position in enumerate(((0.0, 0.0, 1.0), (0.2, 0.0, 1.0), far, far, (0.2, 0.0, 1.0))):
        frames = frames_at((0.0, 0.0, 0.0), position, (0.1 * number - 0.2, -0.3, 1.5))
        renderer.update(frames)
        moved.append(renderer.render(_ABOVE, fixed=fixed).rgb)
        made_there = Renderer(geometry)
        made_there.update(frames)
        np.testing.assert_array_equal(moved[-1], made_there.render(_ABOVE, fixed=False).rgb)


def test_things_in_a_row_shade_each_other_and_not_themselves():
    # The lower sheet stands in the upper one's shadow, and gives none to the floor that the upper has not given.
    upper, lower = _SHEET, replace(_SHEET, mesh=square(0.6, 0.5))
    alone = renderer_of([lower]).render(_ABOVE, fixed=False).rgb
    both = Renderer(geometry_of_things([lower, upper]))
    both.update(frames_at((0.0, 0.0, 0.0), _OVER_THE_FLOOR))
    shaded = both.render(_ABOVE, fixed=False).rgb
    x, y = floor_points()
    row, column = np.unravel_index(np.argmin(np.hypot(x - 0.08, y - 0.28)), x.shape)
    light = 0.5 - 0.5 * light_direction()[2]
    np.testing.assert_allclose(shaded[row, column], 255 * 0.6 * (0.5 + 0.35 * light), atol=1)
    assert alone[row, column, 0] > 255 * 0.6 * (0.5 + 0.5 * light) - 1
