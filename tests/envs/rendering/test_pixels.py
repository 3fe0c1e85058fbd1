"""Which pixels are shaded again: beside plain comparisons of all pixels."""

import numpy as np
import pytest

from calvinbench.envs.rendering.drawing import NUMBER_MASK, draw_blocks
from calvinbench.envs.rendering.pixels import changed_pixels, pixels_by_shape, pixels_by_texel, places_in_shadow_of
from calvinbench.envs.rendering.shapes.blocks import make_blocks
from support.small_worlds import AWAY_FROM_LIGHT, mesh_of

_COLUMNS, _ROWS, _NUM_PIXELS = 40, 30, 3000


def test_sorting_by_shape_keeps_all_pixels_and_their_order():
    generator = np.random.default_rng(0)
    shapes = generator.integers(0, 5, 200).astype(np.int32)
    numbers = np.repeat(generator.integers(0, 200, 300), generator.integers(1, 9, 300))
    keys = (np.int64(7) << 40) | numbers.astype(np.int64)
    pixels = np.flatnonzero(generator.random(len(keys)) < 0.7).astype(np.int32)
    first_pixels, ordered = np.empty(6, dtype=np.int64), np.empty_like(pixels)
    pixels_by_shape(pixels, keys, shapes, first_pixels, ordered)
    shown = shapes[keys[pixels] & NUMBER_MASK]
    for shape in range(5):
        np.testing.assert_array_equal(ordered[first_pixels[shape] : first_pixels[shape + 1]], pixels[shown == shape])
    assert first_pixels[-1] == len(pixels)


def test_changed_pixels_are_those_that_differ_within_the_bounds():
    generator = np.random.default_rng(1)
    still = generator.integers(0, 9, 20 * 20)
    keys = still.copy()
    keys.reshape(20, 20)[5:9, 3:17] = generator.integers(0, 9, (4, 14))
    chosen = np.empty(len(keys), dtype=np.int32)
    count = changed_pixels(np.array([3, 5, 16, 8]), 20, keys, still, chosen)
    np.testing.assert_array_equal(chosen[:count], np.flatnonzero(keys != still))
    assert count > 20
    assert changed_pixels(np.array([20, 20, -1, -1]), 20, keys, still, chosen) == 0


@pytest.mark.parametrize("seed", range(6))
def test_the_bounds_of_a_drawing_contain_every_pixel_that_it_writes(seed: int):
    generator = np.random.default_rng(seed)
    # Small ones and large ones, and some that reach behind the camera at the origin, which looks along -z.
    corners = generator.uniform(-1, 1, (90, 1, 3)) + generator.normal(0, 1, (90, 3, 3)) * generator.uniform(
        0.02, 0.5, (90, 1, 1)
    )
    mesh = mesh_of(corners - (0, 0, generator.uniform(0.4, 2.0)), AWAY_FROM_LIGHT)
    triangles = make_blocks([mesh])
    projection = np.array([[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, -1.02, -0.2], [0, 0, -1, 0]], dtype=np.float32)
    empty = np.full((50, 70), np.int64(65535) << 39)
    keys = empty.copy()
    bounds = draw_blocks(
        *(np.arange(len(triangles.block_shapes), dtype=np.int32), triangles.corners, triangles.numbers),
        *(triangles.block_shapes, projection.reshape(1, 16), np.zeros(1, dtype=np.int64), 0.1, 65535, keys),
    )
    rows, columns = np.nonzero(keys != empty)
    assert len(rows) > 20
    assert bounds[0] <= columns.min()
    assert columns.max() <= bounds[2]
    assert bounds[1] <= rows.min()
    assert rows.max() <= bounds[3]


def surfaces_on_a_map(generator: np.random.Generator) -> np.ndarray:
    """Surfaces (8, n) float32 on a map and a little beside it; a third faces away from the light."""
    surfaces = np.zeros((8, _NUM_PIXELS), dtype=np.float32)
    surfaces[3] = generator.uniform(0.25, 1.0, _NUM_PIXELS)
    surfaces[5] = generator.uniform(-3, _COLUMNS + 3, _NUM_PIXELS)
    surfaces[6] = generator.uniform(-3, _ROWS + 3, _NUM_PIXELS)
    return surfaces


@pytest.mark.parametrize("seed", range(8))
def test_pixels_that_a_shadow_may_change_are_those_whose_texels_changed(seed: int):
    generator = np.random.default_rng(seed)
    surfaces = surfaces_on_a_map(generator)
    pixels = generator.permutation(2 * _NUM_PIXELS)[:_NUM_PIXELS].astype(np.int32)
    still_keys = generator.integers(0, 1 << 40, 2 * _NUM_PIXELS)
    keys = np.where(generator.random(2 * _NUM_PIXELS) < 0.2, 0, still_keys)
    still = generator.integers(100, 200, (_ROWS, _COLUMNS)).astype(np.uint16)
    depths = still.copy()
    first_column, first_row = generator.integers(0, (_COLUMNS, _ROWS))
    last_column = generator.integers(first_column, _COLUMNS)
    last_row = generator.integers(first_row, _ROWS)
    window = depths[first_row : last_row + 1, first_column : last_column + 1]
    window[generator.random(window.shape) < 0.3] = 0

    first_places = np.empty(_ROWS + 1, dtype=np.int64)
    columns, places = np.empty_like(pixels), np.empty_like(pixels)
    pixels_by_texel(surfaces, _COLUMNS, first_places, columns, places)
    chosen = np.empty(_NUM_PIXELS, dtype=np.int32)
    count = places_in_shadow_of(
        *(np.array([first_column, first_row, last_column, last_row]), still, depths),
        *(first_places, columns, places, pixels, keys, still_keys, chosen),
    )

    column, row = np.floor(surfaces[5:7]).astype(int)
    reads = (column >= 0) & (column < _COLUMNS - 1) & (row >= 0) & (row < _ROWS - 1) & (surfaces[3] >= 0.5)
    changed = depths != still
    left, low = np.where(reads, column, 0), np.where(reads, row, 0)
    touched = changed[low, left] | changed[low, left + 1] | changed[low + 1, left] | changed[low + 1, left + 1]
    expected = np.flatnonzero(reads & touched & (keys == still_keys)[pixels])
    np.testing.assert_array_equal(np.sort(chosen[:count]), expected)
    assert first_places[-1] == reads.sum()
