"""The rasteriser: the nearest triangle at each pixel, and its depth.

`draw_blocks` does this for a camera's image, and `cast_blocks` for the shadow map. They write different keys (see the
room's `__init__`). Triangles come in blocks of 64, and pass three stages:

1. `_project` projects all corners of a block and rounds them to a grid of 1/256 pixel, as OpenGL does. It is
   vectorised. It drops each triangle whose bounding rectangle contains no centre of a pixel. That is four of five: a
   robot has a hundred thousand triangles, most of them smaller than a pixel.
2. `_cover` finds which pixels the remaining triangles contain, in batches of 64. It is vectorised too. More than half
   contain none.
3. `_write_batch` writes the rest. For up to 2 x 2 pixels, stage 2 has already found which ones. Up to 8 x 8 pixels are
   tested one by one (`_write_medium`). Larger triangles, and those that reach behind the camera, are computed again in
   double precision and written row by row.

For triangles of up to eight pixels, all sums of products are below 2**24. So 32-bit floats are exact, and there is no
gap along an edge that two triangles share.
"""

import numpy as np

from calvinbench.envs.rendering.compiled import compiled

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_GRID, _PER_GRID, _CENTRE = np.float32(256.0), np.float32(1 / 256), np.float32(128.0)
_MEDIUM, _LARGE, _CUT = np.int32(16), np.int32(32), np.int32(64)
"""Flags of triangles that may cover more than 2 x 2 pixels, or more than 8 x 8, or that reach behind the near plane.
A smaller triangle has a lower flag for each pixel that it covers."""
_MEDIUM_PIXELS = np.float32(7.0)
"""Columns and rows, less one, that a medium triangle may span."""
_EXACT = np.float32(9 * 256)
"""Wider or taller triangles are large, even if only a part is in the image: sums of products are not exact for them."""
_WHOLE, _REACHES_BEHIND = np.float32(1.0), np.float32(2.0)
"""States of chosen triangles: completely in front of the near plane, or partly behind it."""
DEPTH_SHIFT, RANK_SHIFT, NUMBER_MASK = np.int64(39), np.int64(20), np.int64((1 << 20) - 1)
"""Positions of a key's parts: 24 bits of depth, 19 of rank, 20 of the triangle's number."""
_NUM_PROJECTED = 10
"""Numbers of a projected triangle: column, row and depth of the first corner, on the grid; the differences to the
second and to the third corner; the state, which is 0 for a triangle without the centre of a pixel."""
_NUM_FOUND = 15
"""Numbers of a covered triangle: first column and row; depth there, and its change by column and by row; flags; last
column and row; distance of the first pixel's centre inside each edge; changes of two of these by column and by row (the
third follows from them)."""


@compiled
def _project(corners, q, near, width, height, side, depth_scale, projected, chosen):
    """Projects a block's corners, and chooses the triangles that may contain a pixel's centre. Returns their number.

    `corners` (576,) float32 has four groups of 16 triangles, see `blocks.Triangles`. `q` (16,) float32 leads from the
    block's frame to clip coordinates, rows first. `near` is the distance of the near plane; None means a parallel
    projection, in which w is 1, and for which numba compiles a version without divisions. `side` is 1 to see fronts, -1
    to see backs. Depths go from 0 to `depth_scale`. It fills `projected` (640,) float32 (see `_NUM_PROJECTED`) and
    `chosen` (64,) int64, the chosen places in the block.
    """
    right, top = np.float32(width - 1), np.float32(height - 1)
    half_width, half_height = np.float32(width) * _CENTRE, np.float32(height) * _CENTRE
    half_depth = depth_scale * _HALF
    q00, q01, q02, q03 = q[0], q[1], q[2], q[3]
    q10, q11, q12, q13 = q[4], q[5], q[6], q[7]
    q20, q21, q22, q23 = q[8], q[9], q[10], q[11]
    q30, q31, q32, q33 = q[12], q[13], q[14], q[15]
    for first in range(0, 64, 16):
        part, target = corners[9 * first :][:144], projected[first:][:592]
        for i in range(16):
            x, y, z = part[i], part[i + 16], part[i + 32]
            wa = _ONE if near is None else q30 * x + q31 * y + q32 * z + q33
            inverse = _ONE if near is None else _ONE / wa
            ax = np.floor((q00 * x + q01 * y + q02 * z + q03) * inverse * half_width + half_width + _HALF)
            ay = np.floor((q10 * x + q11 * y + q12 * z + q13) * inverse * half_height + half_height + _HALF)
            az = (q20 * x + q21 * y + q22 * z + q23) * inverse * half_depth + half_depth
            x, y, z = part[i + 48], part[i + 64], part[i + 80]
            wb = _ONE if near is None else q30 * x + q31 * y + q32 * z + q33
            inverse = _ONE if near is None else _ONE / wb
            bx = np.floor((q00 * x + q01 * y + q02 * z + q03) * inverse * half_width + half_width + _HALF) - ax
            by = np.floor((q10 * x + q11 * y + q12 * z + q13) * inverse * half_height + half_height + _HALF) - ay
            bz = (q20 * x + q21 * y + q22 * z + q23) * inverse * half_depth + half_depth - az
            x, y, z = part[i + 96], part[i + 112], part[i + 128]
            wc = _ONE if near is None else q30 * x + q31 * y + q32 * z + q33
            inverse = _ONE if near is None else _ONE / wc
            cx = np.floor((q00 * x + q01 * y + q02 * z + q03) * inverse * half_width + half_width + _HALF) - ax
            cy = np.floor((q10 * x + q11 * y + q12 * z + q13) * inverse * half_height + half_height + _HALF) - ay
            cz = (q20 * x + q21 * y + q22 * z + q23) * inverse * half_depth + half_depth - az
            # The first and last columns and rows whose pixel centres are within the triangle's bounds.
            column = max(_ZERO, np.ceil((ax + min(_ZERO, min(bx, cx)) - _CENTRE) * _PER_GRID))
            row = max(_ZERO, np.ceil((ay + min(_ZERO, min(by, cy)) - _CENTRE) * _PER_GRID))
            last_column = min(right, np.floor((ax + max(_ZERO, max(bx, cx)) - _CENTRE) * _PER_GRID))
            last_row = min(top, np.floor((ay + max(_ZERO, max(by, cy)) - _CENTRE) * _PER_GRID))
            is_held = ((bx * cy - by * cx) * side > _ZERO) & (last_column >= column) & (last_row >= row)
            state = _WHOLE if is_held else _ZERO
            if near is not None:
                state = state if min(wa, min(wb, wc)) > near else _REACHES_BEHIND
                state = state if max(wa, max(wb, wc)) > near else _ZERO
            target[i], target[i + 64], target[i + 128] = ax, ay, az
            target[i + 192], target[i + 256], target[i + 320] = bx, by, bz
            target[i + 384], target[i + 448], target[i + 512] = cx, cy, cz
            target[i + 576] = state
    count = np.uint64(0)
    for i in range(64):
        chosen[count] = i
        count += np.uint64(projected[i + 576] != _ZERO)
    return count


@compiled
def _cover(num_chosen, projected, width, height, side, found, chosen):
    """Finds the pixels of up to 64 projected triangles. Returns how many triangles contain any.

    It fills `found` (960,) float32 (see `_NUM_FOUND`) and `chosen` (64,) int64, the places of those with pixels. The
    loop always runs to 64, because only loops of a constant length are vectorised. Results behind `num_chosen` are not
    used.
    """
    right, top = np.float32(width - 1), np.float32(height - 1)
    for i in range(64):
        ax, ay, az = projected[i], projected[i + 64], projected[i + 128]
        bx, by, bz = projected[i + 192], projected[i + 256], projected[i + 320]
        cx, cy, cz = projected[i + 384], projected[i + 448], projected[i + 512]
        area = (bx * cy - by * cx) * side
        # As in `_project`: computing these again costs less than storing them.
        column = max(_ZERO, np.ceil((ax + min(_ZERO, min(bx, cx)) - _CENTRE) * _PER_GRID))
        row = max(_ZERO, np.ceil((ay + min(_ZERO, min(by, cy)) - _CENTRE) * _PER_GRID))
        last_column = min(right, np.floor((ax + max(_ZERO, max(bx, cx)) - _CENTRE) * _PER_GRID))
        last_row = min(top, np.floor((ay + max(_ZERO, max(by, cy)) - _CENTRE) * _PER_GRID))
        wide, tall = last_column > column, last_row > row
        # Distance of the first centre inside each of the three edges.
        px, py = column * _GRID + _CENTRE - ax, row * _GRID + _CENTRE - ay
        c_side = (bx * py - by * px) * side
        b_side = (cy * px - cx * py) * side
        a_side = area - b_side - c_side
        c_right, c_up = -by * _GRID * side, bx * _GRID * side
        b_right, b_up = cy * _GRID * side, -cx * _GRID * side
        a_right, a_up = -b_right - c_right, -b_up - c_up
        flags = np.int32(0)
        inside = (a_side >= _ZERO) & (b_side >= _ZERO) & (c_side >= _ZERO)
        flags |= np.int32(1) if inside else np.int32(0)
        inside = (a_side + a_right >= _ZERO) & (b_side + b_right >= _ZERO) & (c_side + c_right >= _ZERO) & wide
        flags |= np.int32(2) if inside else np.int32(0)
        inside = (a_side + a_up >= _ZERO) & (b_side + b_up >= _ZERO) & (c_side + c_up >= _ZERO) & tall
        flags |= np.int32(4) if inside else np.int32(0)
        inside = (a_side + a_right + a_up >= _ZERO) & (b_side + b_right + b_up >= _ZERO)
        inside &= (c_side + c_right + c_up >= _ZERO) & wide & tall
        flags |= np.int32(8) if inside else np.int32(0)
        # Depth is linear over the image: the share of b is b_side / area.
        per_area = _ONE / area
        first = az + (b_side * bz + c_side * cz) * per_area
        by_column = (b_right * bz + c_right * cz) * per_area
        by_row = (b_up * bz + c_up * cz) * per_area
        is_small = (last_column - column <= _ONE) & (last_row - row <= _ONE)
        is_medium = (last_column - column <= _MEDIUM_PIXELS) & (last_row - row <= _MEDIUM_PIXELS)
        is_exact = max(_ZERO, max(bx, cx)) - min(_ZERO, min(bx, cx)) <= _EXACT
        is_exact &= max(_ZERO, max(by, cy)) - min(_ZERO, min(by, cy)) <= _EXACT
        flags = flags if is_small & is_exact else (_MEDIUM if is_medium & is_exact else _LARGE)
        flags = flags if projected[i + 576] == _WHOLE else _CUT
        found[i] = column
        found[i + 64] = row
        found[i + 128] = first
        found[i + 192] = by_column
        found[i + 256] = by_row
        found[i + 320] = np.float32(flags)
        found[i + 384], found[i + 448] = last_column, last_row
        found[i + 512], found[i + 576], found[i + 640] = a_side, b_side, c_side
        found[i + 704], found[i + 768] = b_right, b_up
        found[i + 832], found[i + 896] = c_right, c_up
    count = np.uint64(0)
    for i in range(num_chosen):
        chosen[count] = i
        count += np.uint64(found[i + 320] != _ZERO)
    return count


@compiled
def _cut_polygon(corners, block, i, q, near, width, height, depth_scale, clip, cut, polygon):
    """Projects a triangle in double precision, cut at the near plane. Returns the number of corners left, 0 to 4.

    `polygon` (4, 3) gets columns and rows on the grid, and depths. `clip` (3, 4) and `cut` (4, 4) are scratch memory.
    """
    at, num_in_front, count = 9 * (i - i % 16) + i % 16, 0, 3
    for corner in range(3):
        x, y, z = corners[block, at], corners[block, at + 16], corners[block, at + 32]
        for row in range(4):
            clip[corner, row] = q[4 * row] * x + q[4 * row + 1] * y + q[4 * row + 2] * z + q[4 * row + 3]
        num_in_front += clip[corner, 3] > near
        at += 48
    if num_in_front < 3:
        count = 0
        for corner in range(3):
            following = (corner + 1) % 3
            here, there = clip[corner, 3] - near, clip[following, 3] - near
            if here > 0:
                cut[count, :] = clip[corner]
                count += 1
            if (here > 0) != (there > 0):
                for k in range(4):
                    cut[count, k] = clip[corner, k] + here / (here - there) * (clip[following, k] - clip[corner, k])
                count += 1
    kept = clip if num_in_front == 3 else cut
    for corner in range(count):
        w = kept[corner, 3]
        polygon[corner, 0] = np.floor((kept[corner, 0] / w * 0.5 + 0.5) * width * 256 + 0.5)
        polygon[corner, 1] = np.floor((kept[corner, 1] / w * 0.5 + 0.5) * height * 256 + 0.5)
        polygon[corner, 2] = (kept[corner, 2] / w * 0.5 + 0.5) * depth_scale
    return count


@compiled
def _set_up(polygon, b, c, side, edges, plane):
    """Prepares the triangle of a polygon's first corner and its corners b and c. Returns whether it is visible.

    `edges` (3, 3) get exact whole numbers: the distance of the lower left pixel's centre inside each edge, and its
    change by column and by row. `plane` (3,) gets the depth there and its changes.
    """
    ax, ay, az = polygon[0]
    bx, by, bz = polygon[b, 0] - ax, polygon[b, 1] - ay, polygon[b, 2] - az
    cx, cy, cz = polygon[c, 0] - ax, polygon[c, 1] - ay, polygon[c, 2] - az
    area = (bx * cy - by * cx) * side
    if area <= 0:
        return False
    px, py = 128 - ax, 128 - ay
    edges[2, 0], edges[2, 1], edges[2, 2] = (bx * py - by * px) * side, -by * 256 * side, bx * 256 * side
    edges[1, 0], edges[1, 1], edges[1, 2] = (cy * px - cx * py) * side, cy * 256 * side, -cx * 256 * side
    edges[0, 0] = area - edges[1, 0] - edges[2, 0]
    edges[0, 1] = -edges[1, 1] - edges[2, 1]
    edges[0, 2] = -edges[1, 2] - edges[2, 2]
    for k in range(3):
        plane[k] = (edges[1, k] * bz + edges[2, k] * cz) / area
    plane[0] += az
    return True


@compiled
def _columns(edges, row, width):
    """The first and last column of a row that are inside all three edges."""
    first, last = 0, width - 1
    for k in range(3):
        # Whole numbers below 2**53. So the quotient of two, rounded to 53 bits, never reaches the next whole number.
        inside, by_column = edges[k, 0] + edges[k, 2] * row, edges[k, 1]
        if by_column > 0:
            first = max(first, -np.int64(np.floor(inside / by_column)))
        elif by_column < 0:
            last = min(last, np.int64(np.floor(inside / -by_column)))
        elif inside < 0:
            return 0, -1
    return first, last


@compiled
def _write_medium(found, i, max_depth, shift, low, keys):
    """Writes a triangle of up to 8 x 8 pixels into the keys, pixel by pixel."""
    first_column, last_column = np.int64(found[i]), np.int64(found[i + 384])
    first_row, last_row = np.int64(found[i + 64]), np.int64(found[i + 448])
    b_right, b_up, c_right, c_up = found[i + 704], found[i + 768], found[i + 832], found[i + 896]
    a_right, a_up = -b_right - c_right, -b_up - c_up
    a_row, b_row, c_row, depth_row = found[i + 512], found[i + 576], found[i + 640], found[i + 128]
    for y in range(first_row, last_row + 1):
        a, b, c, depth = a_row, b_row, c_row, depth_row
        for x in range(first_column, last_column + 1):
            if (a >= _ZERO) & (b >= _ZERO) & (c >= _ZERO):
                rounded = max(np.int64(0), min(max_depth, np.int64(depth + _HALF)))
                keys[y, x] = min(keys[y, x], (rounded << shift) | low)
            a, b, c, depth = a + a_right, b + b_right, c + c_right, depth + found[i + 192]
        a_row, b_row, c_row, depth_row = a_row + a_up, b_row + b_up, c_row + c_up, depth_row + found[i + 256]


@compiled
def _write_batch(
    count, batch, places, lows, scratch, corners, block_shapes, projections, near, side, max_depth, shift, keys, bounds
):
    """Writes a batch of `count` projected triangles into keys.

    `places` (64,) int64 are 64 times the block plus the place in it. `lows` (64,) int64 are all bits of the triangles'
    keys but the depth, which begins at bit `shift`. `bounds` (4,) int64 is widened to what was written: first column
    and row, last column and row. The other arguments are those of `_project` and `draw_blocks`.
    """
    height, width = keys.shape
    found, held, clip, cut, polygon, edges, plane = scratch
    num_held = _cover(count, batch, width, height, side, found, held)
    for i in held[:num_held]:
        flags, low = np.int32(found[i + 320]), lows[i]
        if flags <= _MEDIUM:
            column, row = np.int64(found[i]), np.int64(found[i + 64])
            bounds[0], bounds[1] = min(bounds[0], column), min(bounds[1], row)
            bounds[2] = max(bounds[2], np.int64(found[i + 384]))
            bounds[3] = max(bounds[3], np.int64(found[i + 448]))
            if flags == _MEDIUM:
                _write_medium(found, i, max_depth, shift, low, keys)
                continue
            for k in range(4):
                if flags & (1 << k):
                    depth = found[i + 128] + found[i + 192] * np.float32(k & 1) + found[i + 256] * np.float32(k >> 1)
                    rounded = max(np.int64(0), min(max_depth, np.int64(depth + _HALF)))
                    y, x = np.uint64(row + (k >> 1)), np.uint64(column + (k & 1))
                    keys[y, x] = min(keys[y, x], (rounded << shift) | low)
            continue
        block, place = np.uint64(places[i] // 64), places[i] % 64
        q = projections[block_shapes[block]]
        num_corners = _cut_polygon(corners, block, place, q, near, width, height, max_depth, clip, cut, polygon)
        for corner in range(1, num_corners - 1):
            if not _set_up(polygon, corner, corner + 1, side, edges, plane):
                continue
            low_y = min(polygon[0, 1], min(polygon[corner, 1], polygon[corner + 1, 1]))
            high_y = max(polygon[0, 1], max(polygon[corner, 1], polygon[corner + 1, 1]))
            first_row, last_row = (
                max(0.0, np.ceil((low_y - 128) / 256)),
                min(height - 1.0, np.floor((high_y - 128) / 256)),
            )
            for y in range(np.int64(first_row), np.int64(last_row) + 1):
                first, last = _columns(edges, y, width)
                if first <= last:
                    bounds[0], bounds[1] = min(bounds[0], first), min(bounds[1], y)
                    bounds[2], bounds[3] = max(bounds[2], last), max(bounds[3], y)
                for x in range(first, last + 1):
                    rounded = max(np.int64(0), min(max_depth, np.int64(plane[0] + plane[2] * y + plane[1] * x + 0.5)))
                    at = (np.uint64(y), np.uint64(x))
                    keys[at] = min(keys[at], (rounded << shift) | low)


@compiled
def _draw(blocks, corners, block_shapes, projections, labels, near, side, max_depth, shift, keys):
    """Draws blocks into keys. Returns the bounds of what was drawn, see `draw_blocks`.

    `labels` are `numbers` and `ranks` of `draw_blocks`, or None where keys are depths alone. `near` is None if the
    projection is parallel, in which everything is one metre in front of the camera.
    """
    height, width = keys.shape
    bounds = np.array([width, height, -1, -1])
    projected, batch = np.empty(_NUM_PROJECTED * 64, np.float32), np.zeros(_NUM_PROJECTED * 64, np.float32)
    chosen, places, lows = np.empty(64, np.int64), np.empty(64, np.int64), np.zeros(64, np.int64)
    found, held = np.empty(_NUM_FOUND * 64, np.float32), np.empty(64, np.int64)
    scratch = (found, held, np.empty((3, 4)), np.empty((4, 4)), np.empty((4, 3)), np.empty((3, 3)), np.empty(3))
    scene = (scratch, corners, block_shapes, projections)
    target = (0.0 if near is None else near, side, max_depth, shift, keys, bounds)
    near_32 = None if near is None else np.float32(near)
    count = np.int64(0)
    for block in blocks:
        shape = block_shapes[block]
        num_chosen = _project(
            *(
                corners[block],
                projections[shape],
                near_32,
                width,
                height,
                side,
                np.float32(max_depth),
                projected,
                chosen,
            )
        )
        for i in chosen[:num_chosen]:
            for j in range(_NUM_PROJECTED):
                batch[64 * j + count] = projected[64 * j + i]
            places[count] = 64 * np.int64(block) + i
            if labels is not None:
                lows[count] = (labels[1][shape] << RANK_SHIFT) | np.int64(labels[0][block, i])
            count += 1
            if count == 64:
                _write_batch(count, batch, places, lows, *scene, *target)
                count = np.int64(0)
    _write_batch(count, batch, places, lows, *scene, *target)
    return bounds


@compiled
def draw_blocks(blocks, corners, numbers, block_shapes, projections, ranks, near, max_depth, keys):
    """Draws the fronts of blocks of triangles into an image of keys.

    Args:
        blocks: (n,) int32, the blocks to draw.
        corners: (blocks, 576) float32, see `_project`.
        numbers: (blocks, 64) int32, the triangles' numbers, below 2**20.
        block_shapes: (blocks,) int32, which shape each block belongs to.
        projections: (shapes, 16) float32, from each shape's frame to clip coordinates.
        ranks: (shapes,) int64, below 2**19. Of two shapes at the same depth, the lower rank wins.
        near: Distance of the near plane, metres.
        max_depth: The farthest depth, 65535 for a buffer of 16 bits.
        keys: (height, width) int64, lowest row first.

    Returns:
        (4,) int64: first column and row, last column and row of what was drawn; an empty range if nothing was.
    """
    scene = (blocks, corners, block_shapes, projections)
    return _draw(*scene, (numbers, ranks), near, _ONE, np.int64(max_depth), DEPTH_SHIFT, keys)


@compiled
def cast_blocks(blocks, corners, block_shapes, projections, depths):
    """Draws the depths of triangles' backs into a shadow map. A key is a depth alone there.

    Args:
        blocks: (n,) int32, the blocks to draw.
        corners: As in `draw_blocks`, and so is the next.
        block_shapes: (blocks,) int32.
        projections: (shapes, 16) float32, from each shape's frame to the light's clip coordinates, which are parallel.
        depths: (height, width) uint16, the shadow map.

    Returns:
        As `draw_blocks`.
    """
    return _draw(blocks, corners, block_shapes, projections, None, None, -_ONE, np.int64(65535), np.int64(0), depths)
