"""Which pixels are shaded: those that changed, sorted by shape, and those that a moving shadow reached or left."""

import numpy as np

from calvinbench.envs.rendering.compiled import compiled
from calvinbench.envs.rendering.drawing import NUMBER_MASK

_HALF = np.float32(0.5)


@compiled
def changed_pixels(bounds, width, keys, still_keys, chosen):
    """Finds the pixels that do not show the same triangle as the still layer. Returns their number.

    Args:
        bounds: (4,) int64, first column and row, last column and row of what moving things cover.
        width: Width of the image.
        keys: (pixels,) int64.
        still_keys: (pixels,) int64.
        chosen: (pixels,) int32, to be filled.
    """
    count = np.uint64(0)
    for row in range(bounds[1], bounds[3] + 1):
        for pixel in range(row * width + bounds[0], row * width + bounds[2] + 1):
            chosen[count] = pixel
            count += np.uint64(keys[np.uint64(pixel)] != still_keys[np.uint64(pixel)])
    return count


@compiled
def pixels_by_shape(pixels, keys, shapes, first_pixels, ordered):
    """Sorts pixels by the shape that they show.

    Args:
        pixels: (n,) int32, numbers of pixels.
        keys: (pixels,) int64, see `drawing`.
        shapes: (triangles,) int32, which shape each triangle belongs to.
        first_pixels: (shapes + 1,) int64, to be filled: shape s has ordered[first_pixels[s] : first_pixels[s + 1]].
        ordered: (n,) int32, to be filled.
    """
    first_pixels[:] = 0
    # Neighbours mostly show the same shape. So pixels are counted and copied in runs.
    runs = np.empty((len(pixels) + 1, 2), np.int32)
    num_runs, last = 0, np.int64(-1)
    for k in range(len(pixels)):
        shape = np.int64(shapes[keys[pixels[k]] & NUMBER_MASK])
        if shape != last:
            runs[num_runs, 0], runs[num_runs, 1] = shape, k
            num_runs, last = num_runs + 1, shape
    runs[num_runs, 1] = len(pixels)
    for run in range(num_runs):
        first_pixels[runs[run, 0] + 1] += runs[run + 1, 1] - runs[run, 1]
    for shape in range(len(first_pixels) - 1):
        first_pixels[shape + 1] += first_pixels[shape]
    following = first_pixels.copy()
    for run in range(num_runs):
        at = following[runs[run, 0]] - runs[run, 1]
        for k in range(runs[run, 1], runs[run + 1, 1]):
            ordered[at + k] = pixels[k]
        following[runs[run, 0]] += runs[run + 1, 1] - runs[run, 1]


@compiled
def pixels_by_texel(surfaces, num_columns, first_places, columns, places):
    """Sorts surfaces by the texel of the shadow map that they read. Those that no shadow can change are left out.

    A surface at column c and row r, rounded down, reads the texels c, c + 1 in the rows r, r + 1. It is left out if it
    faces away from the light, or if one of these texels is outside the map.

    Args:
        surfaces: (8, n) float32, see `shading`.
        num_columns: Columns of the map.
        first_places: (rows + 1,) int64, to be filled: the surfaces of row r have places[first_places[r] :
            first_places[r + 1]].
        columns: (n,) int32, to be filled: the columns of the sorted surfaces; within a row they grow.
        places: (n,) int32, to be filled: which surfaces they are.
    """
    num_rows, num_surfaces = len(first_places) - 1, surfaces.shape[1]
    texels, found = np.empty((num_surfaces, 2), np.int32), np.empty(num_surfaces, np.int32)
    first_found = np.zeros(num_columns + 1, np.int64)
    first_places[:] = 0
    for place in range(num_surfaces):
        column, row = np.floor(surfaces[5, place]), np.floor(surfaces[6, place])
        inside = (column >= 0) & (column + 1 < num_columns) & (row >= 0) & (row + 1 < num_rows)
        if inside & (surfaces[3, place] >= _HALF):
            texels[place, 0], texels[place, 1] = np.int32(column), np.int32(row)
            first_found[texels[place, 0] + 1] += 1
            first_places[texels[place, 1] + 1] += 1
        else:
            texels[place, 0] = -1
    for column in range(num_columns):
        first_found[column + 1] += first_found[column]
    for row in range(num_rows):
        first_places[row + 1] += first_places[row]
    num_found, following = first_found[-1], first_found[:-1]
    for place in range(num_surfaces):
        column = texels[place, 0]
        if column >= 0:
            found[following[column]] = place
            following[column] += 1
    following = first_places.copy()
    for place in found[:num_found]:
        at = following[texels[place, 1]]
        places[at], columns[at] = place, texels[place, 0]
        following[texels[place, 1]] += 1


@compiled
def _first_of(columns, first, last, column):
    """The first of some places, whose columns grow, that is at this column or behind it."""
    while first < last:
        middle = (first + last) // 2
        if columns[middle] < column:
            first = middle + 1
        else:
            last = middle
    return first


@compiled
def _changed_columns(still_depths, depths, low, high, first, last):
    """The first and last of some columns in which either of two rows differs; an empty range if none does."""
    while first <= last:
        column = np.uint64(first)
        if (depths[low, column] != still_depths[low, column]) | (depths[high, column] != still_depths[high, column]):
            break
        first += 1
    while first < last:
        column = np.uint64(last)
        if (depths[low, column] != still_depths[low, column]) | (depths[high, column] != still_depths[high, column]):
            break
        last -= 1
    return first, last


@compiled
def places_in_shadow_of(bounds, still_depths, depths, first_places, columns, places, pixels, keys, still_keys, chosen):
    """Finds the surfaces of the still layer that moving things may shade, and that are in sight. Returns their number.

    Args:
        bounds: (4,) int64, first column and row, last column and row of what moving things cast.
        still_depths: (rows, columns) uint16, the shadow map without moving things.
        depths: (rows, columns) uint16, the shadow map with them.
        first_places: As in `pixels_by_texel`, and so are the next two.
        columns: (n,) int32.
        places: (n,) int32.
        pixels: (n,) int32, which pixels show the surfaces.
        keys: (pixels,) int64.
        still_keys: (pixels,) int64.
        chosen: (n,) int32, to be filled with places.
    """
    first_column, last_column = bounds[0], bounds[2]
    count = np.uint64(0)
    # No surface reads the last row alone, see `pixels_by_texel`.
    for row in range(max(0, bounds[1] - 1), min(len(depths) - 1, bounds[3] + 1)):
        first, last = first_places[row], first_places[row + 1]
        low, high = np.uint64(row), np.uint64(row + 1)
        # Most of what moving things cast is beside the texels that are read.
        changed_from, changed_to = _changed_columns(still_depths, depths, low, high, first_column, last_column)
        for k in range(_first_of(columns, first, last, changed_from - 1), last):
            if columns[k] > changed_to:
                break
            left, right = np.uint64(columns[k]), np.uint64(columns[k] + 1)
            changed = (depths[low, left] != still_depths[low, left]) | (depths[low, right] != still_depths[low, right])
            changed |= depths[high, left] != still_depths[high, left]
            changed |= depths[high, right] != still_depths[high, right]
            if changed:
                pixel = pixels[places[k]]
                chosen[count] = places[k]
                count += np.uint64(keys[pixel] == still_keys[pixel])
    return count
