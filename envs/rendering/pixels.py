"""Which pixels are shaded: those that changed, sorted by shape, and those that a moving shadow reached or left."""

import numpy as np

from calvinbench.envs.rendering.compiled import compiled
from calvinbench.envs.rendering.drawing import NUMBER_MASK

_HALF = np.float32(0.5)


@compiled
def changed_pixels(keys, still_keys, chosen):
    """Finds the pixels that do not show the same triangle as the still layer. Returns their number."""
    count = np.uint64(0)
    for pixel in range(len(keys)):
        chosen[count] = pixel
        count += np.uint64(keys[pixel] != still_keys[pixel])
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
    shown = np.empty(len(pixels), np.int32)
    for k in range(len(pixels)):
        shown[k] = shapes[keys[pixels[k]] & NUMBER_MASK]
        first_pixels[shown[k] + 1] += 1
    for shape in range(len(first_pixels) - 1):
        first_pixels[shape + 1] += first_pixels[shape]
    following = first_pixels.copy()
    for k in range(len(pixels)):
        ordered[following[shown[k]]] = pixels[k]
        following[shown[k]] += 1


@compiled
def pixels_by_texel(surfaces, num_columns, first_places, columns, places):
    """Sorts surfaces by the row of the shadow map that they read. Those that no shadow can change are left out.

    A surface at column c and row r, rounded down, reads the texels c, c + 1 in the rows r, r + 1. It is left out if it
    faces away from the light, or if one of these texels is outside the map.

    Args:
        surfaces: (8, n) float32, see `shading`.
        num_columns: Columns of the map.
        first_places: (rows + 1,) int64, to be filled: the surfaces of row r have places[first_places[r] :
            first_places[r + 1]].
        columns: (n,) int32, to be filled: the columns that the sorted surfaces read.
        places: (n,) int32, to be filled: which surfaces they are.
    """
    num_rows = len(first_places) - 1
    found, rows = np.empty(surfaces.shape[1], np.int32), np.empty(surfaces.shape[1], np.int32)
    count = 0
    first_places[:] = 0
    for place in range(surfaces.shape[1]):
        column, row = np.floor(surfaces[5, place]), np.floor(surfaces[6, place])
        inside = (column >= 0) & (column + 1 < num_columns) & (row >= 0) & (row + 1 < num_rows)
        if inside & (surfaces[3, place] >= _HALF):
            found[count], rows[count] = place, np.int32(row)
            first_places[rows[count] + 1] += 1
            count += 1
    for row in range(num_rows):
        first_places[row + 1] += first_places[row]
    following = first_places.copy()
    for k in range(count):
        at = following[rows[k]]
        places[at], columns[at] = found[k], np.int32(np.floor(surfaces[5, found[k]]))
        following[rows[k]] += 1


@compiled
def places_in_shadow_of(
    bounds, still_depths, depths, first_places, columns, places, pixels, keys, still_keys, chosen
):
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
    first_column, last_column = bounds[0] - 1, bounds[2]
    count = np.uint64(0)
    for row in range(max(0, bounds[1] - 1), min(len(first_places) - 1, bounds[3] + 1)):
        lower, still_lower = depths[row], still_depths[row]
        # No surface reads beyond the last row, see `pixels_by_texel`.
        upper, still_upper = depths[min(row + 1, len(depths) - 1)], still_depths[min(row + 1, len(depths) - 1)]
        for k in range(first_places[row], first_places[row + 1]):
            column = columns[k]
            if (column < first_column) | (column > last_column):
                continue
            left, right = np.uint64(column), np.uint64(column + 1)
            changed = (lower[left] != still_lower[left]) | (lower[right] != still_lower[right])
            changed |= (upper[left] != still_upper[left]) | (upper[right] != still_upper[right])
            if changed:
                pixel = pixels[places[k]]
                chosen[count] = places[k]
                count += np.uint64(keys[pixel] == still_keys[pixel])
    return count
