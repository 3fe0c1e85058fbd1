"""The colour of a pixel: its surface, light, texture and shadow.

Each pixel is shaded once, after its nearest triangle is known, in two steps. `light_pixels` computes what does not
depend on shadows, the pixel's *surface*: colour, light, highlight, and its place in the shadow map. `finish_pixels`
reads the shadow map and writes the image. The formulas and constants are those of Bullet's OpenGL shader
(`useShadowMapInstancingPS` of Bullet 3.2.7) at the settings that its EGL plugin uses.

Both work on tiles of 64 pixels. What is computed is computed for a whole tile at once, in loops that are vectorised.
What is looked up (a triangle's attributes, texels, shadows) is first gathered for each pixel, by loops that do nothing
else.
"""

import numpy as np

from calvinbench.envs.rendering.compiled import compiled
from calvinbench.envs.rendering.drawing import NUMBER_MASK

BACKGROUND = (179, 179, 204)
SURFACE_DIM = 8
"""Numbers of a surface: red, green, blue (0..255), light, highlight, column, row and depth in the shadow map."""
VIEW_DIM = 24
"""Numbers of a shape that `light_pixels` needs, see there."""
_TILE = 64
"""Pixels that are shaded together, a tile. Their numbers are in a flat array: number j of pixel k is at 64 j + k."""
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)
_TWO = np.float32(2.0)
_WHITE = np.float32(255.0)
_UNLIT = np.float32(0.7)
"""Share of the light that reaches a point in shadow."""
_LIT = np.float32(0.3)
_TINY = np.float32(1e-30)
_WEIGHTS = np.float32(8192.0)
"""Sum of the weights of four texels: 13 bits. With the 8 bits of a colour they fill the 21 bits of a field."""
_PER_WEIGHT = np.float32(1 / 8192)
_FIELD = np.uint64((1 << 21) - 1)
_GREEN = np.uint64(21)
_BLUE = np.uint64(42)


@compiled
def light_pixels(pixels, first_pixels, keys, width, attributes, views, eye, rays, levels, texels, light, surfaces):
    """Finds the surface at each of some pixels.

    A pixel shows the point where the ray through its centre meets the triangle's plane. Let a be the triangle's first
    corner, e and f its edges from there, a + t the camera, and d a ray. Then by Cramer's rule, with w = d.(f x e):
    depth = f.(t x e) / w, share of e = d.(f x t) / w, share of f = d.(t x e) / w.

    Pixels are processed in tiles of one shape. Each loop over a tile is vectorised.

    Args:
        pixels: (n,) int32, numbers of pixels, counted row by row from the bottom, sorted by shape.
        first_pixels: (shapes + 1,) int64: shape s has pixels[first_pixels[s] : first_pixels[s + 1]].
        keys: (pixels,) int64, see `drawing`.
        width: Width of the image.
        attributes: (triangles, 24) float32, see `blocks.Triangles`.
        views: (shapes, 24) float32: the camera's ray through the image's lower left corner and its change by column
            and by row, and the camera's place, all in the shape's frame; the shape's rotation, rows first; its colour.
        eye: (3,) float32, the camera's place in the world.
        rays: (3, 3) float32, the three rays of `views` in the world.
        levels: (shapes, 40) int32: number of mip levels, then offset, width and height of each; 0 without a texture.
        texels: (texels,) uint64, three fields of 21 bits each.
        light: (21,) float32: direction to the light; its place; the place that highlights are computed for; then the
            rows and offsets that lead to column, row and depth in the shadow map.
        surfaces: (8, n) float32, to be filled in the order of `pixels`.
    """
    # The arrays are flat, because loops with offsets that the compiler knows are vectorised. Loops always run over a
    # whole tile. If it has fewer pixels, the rest keeps old numbers, which are not used.
    per_width = 1.0 / width
    fetched = np.zeros(24 * _TILE, np.float32)
    places = np.zeros(2 * _TILE, np.float32)
    crosses = np.zeros(9 * _TILE, np.float32)
    shares = np.zeros(3 * _TILE, np.float32)
    spreads = np.zeros(_TILE, np.float32)
    spots, sizes = np.zeros(4 * _TILE, np.float32), np.ones(4 * _TILE, np.float32)
    firsts, taps, weights = np.zeros(2 * _TILE, np.int32), np.zeros(8 * _TILE, np.int32), np.zeros(8 * _TILE, np.int32)
    result = np.zeros(SURFACE_DIM * _TILE, np.float32)
    for shape in range(len(first_pixels) - 1):
        last = first_pixels[shape + 1]
        for start in range(first_pixels[shape], last, _TILE):
            tile = pixels[start : min(start + _TILE, last)]
            for k in range(len(tile)):
                # The row is exact, because a pixel's middle is never at a whole number of rows.
                row = np.floor((tile[k] + 0.5) * per_width)
                places[k], places[k + 64] = np.float32(tile[k] - row * width) + _HALF, np.float32(row) + _HALF
            for k in range(len(tile)):
                number = keys[np.uint64(tile[k])] & NUMBER_MASK
                for j in range(24):
                    fetched[64 * j + k] = attributes[number, j]
            _meet(places, fetched, views[shape], crosses, shares)
            _light(places, fetched, shares, views[shape], eye, rays, light, result)
            if levels[shape, 0] > 0:
                _spread(places, fetched, views[shape], crosses, levels[shape], spreads)
                is_between = _find_levels(len(tile), fetched, shares, levels[shape], spreads, spots, sizes, firsts)
                _weigh_texels(0, spots, sizes, firsts, taps, weights)
                if is_between:
                    _weigh_texels(1, spots, sizes, firsts, taps, weights)
                _add_texels(len(tile), is_between, taps, weights, texels, views[shape], result)
            for j in range(SURFACE_DIM):
                surfaces[j, start : start + len(tile)] = result[64 * j : 64 * j + len(tile)]


@compiled
def _meet(places, fetched, view, crosses, shares):
    """Where rays meet planes. `shares` gets shares of e and f and the depth; `crosses` gets f x e, f x t and t x e."""
    d0x, d0y, d0z, dxx, dxy, dxz = view[0], view[1], view[2], view[3], view[4], view[5]
    dyx, dyy, dyz, ox, oy, oz = view[6], view[7], view[8], view[9], view[10], view[11]
    for k in range(_TILE):
        px, py = places[k], places[k + 64]
        dx, dy, dz = d0x + px * dxx + py * dyx, d0y + px * dxy + py * dyy, d0z + px * dxz + py * dyz
        tx, ty, tz = ox - fetched[k], oy - fetched[k + 64], oz - fetched[k + 128]
        ex, ey, ez = fetched[k + 192], fetched[k + 256], fetched[k + 320]
        fx, fy, fz = fetched[k + 384], fetched[k + 448], fetched[k + 512]
        wx, wy, wz = fy * ez - fz * ey, fz * ex - fx * ez, fx * ey - fy * ex
        ux, uy, uz = fy * tz - fz * ty, fz * tx - fx * tz, fx * ty - fy * tx
        vx, vy, vz = ty * ez - tz * ey, tz * ex - tx * ez, tx * ey - ty * ex
        per_w = _ONE / (dx * wx + dy * wy + dz * wz)
        # A pixel's centre may be outside the triangle by as much as OpenGL's grid is wide.
        shares[k] = min(max((dx * ux + dy * uy + dz * uz) * per_w, _ZERO), _ONE)
        shares[k + 64] = min(max((dx * vx + dy * vy + dz * vz) * per_w, _ZERO), _ONE)
        shares[k + 128] = (fx * vx + fy * vy + fz * vz) * per_w
        crosses[k], crosses[k + 64], crosses[k + 128] = wx, wy, wz
        crosses[k + 192], crosses[k + 256], crosses[k + 320] = ux, uy, uz
        crosses[k + 384], crosses[k + 448], crosses[k + 512] = vx, vy, vz


@compiled
def _light(places, fetched, shares, view, eye, rays, light, result):
    """Light, highlight and place in the shadow map; and the colour of a shape without a texture."""
    r00, r01, r02, r10, r11, r12 = view[12], view[13], view[14], view[15], view[16], view[17]
    r20, r21, r22 = view[18], view[19], view[20]
    eye_x, eye_y, eye_z = eye[0], eye[1], eye[2]
    d0x, d0y, d0z, dxx, dxy, dxz = rays[0, 0], rays[0, 1], rays[0, 2], rays[1, 0], rays[1, 1], rays[1, 2]
    dyx, dyy, dyz = rays[2, 0], rays[2, 1], rays[2, 2]
    lx, ly, lz, sx, sy, sz = light[0], light[1], light[2], light[3], light[4], light[5]
    hx, hy, hz = light[6], light[7], light[8]
    m00, m01, m02, m03 = light[9], light[10], light[11], light[12]
    m10, m11, m12, m13 = light[13], light[14], light[15], light[16]
    m20, m21, m22, m23 = light[17], light[18], light[19], light[20]
    red, green, blue = _WHITE * view[21], _WHITE * view[22], _WHITE * view[23]
    for k in range(_TILE):
        share_e, share_f, depth = shares[k], shares[k + 64], shares[k + 128]
        share_a = max(_ONE - share_e - share_f, _ZERO)
        nx = share_a * fetched[k + 576] + share_e * fetched[k + 768] + share_f * fetched[k + 960]
        ny = share_a * fetched[k + 640] + share_e * fetched[k + 832] + share_f * fetched[k + 1024]
        nz = share_a * fetched[k + 704] + share_e * fetched[k + 896] + share_f * fetched[k + 1088]
        qx, qy, qz = r00 * nx + r01 * ny + r02 * nz, r10 * nx + r11 * ny + r12 * nz, r20 * nx + r21 * ny + r22 * nz
        per_length = _ONE / np.sqrt(qx * qx + qy * qy + qz * qz + _TINY)
        qx, qy, qz = qx * per_length, qy * per_length, qz * per_length
        px, py = places[k], places[k + 64]
        gx = eye_x + depth * (d0x + px * dxx + py * dyx)
        gy = eye_y + depth * (d0y + px * dxy + py * dyy)
        gz = eye_z + depth * (d0z + px * dxz + py * dyz)
        facing = qx * lx + qy * ly + qz * lz
        ix, iy, iz = sx - gx, sy - gy, sz - gz
        cx, cy, cz = hx - gx, hy - gy, hz - gz
        per_i = _ONE / np.sqrt(ix * ix + iy * iy + iz * iz)
        per_c = _ONE / np.sqrt(cx * cx + cy * cy + cz * cz)
        twice = _TWO * (ix * qx + iy * qy + iz * qz)
        mirrored = (cx * (twice * qx - ix) + cy * (twice * qy - iy) + cz * (twice * qz - iz)) * per_i * per_c
        mirrored = max(mirrored, _ZERO) if facing >= _ZERO else _ZERO
        power2 = mirrored * mirrored
        power4 = power2 * power2
        power8 = power4 * power4
        power16 = power8 * power8
        result[k], result[k + 64], result[k + 128] = red, green, blue
        result[k + 192] = _HALF + _HALF * min(max(facing, -_ONE), _ONE)
        # The shininess is 41 and the strength 0.5.
        result[k + 256] = power16 * power16 * power8 * mirrored * _HALF
        result[k + 320] = m00 * gx + m01 * gy + m02 * gz + m03
        result[k + 384] = m10 * gx + m11 * gy + m12 * gz + m13
        result[k + 448] = m20 * gx + m21 * gy + m22 * gz + m23


@compiled
def _spread(places, fetched, view, crosses, levels, spreads):
    """Texels, squared, from a pixel to the next column or to the next row: the larger of the two."""
    d0x, d0y, d0z, dxx, dxy, dxz = view[0], view[1], view[2], view[3], view[4], view[5]
    dyx, dyy, dyz = view[6], view[7], view[8]
    width, height = np.float32(levels[2]), np.float32(levels[3])
    for k in range(_TILE):
        px, py = places[k], places[k + 64]
        dx, dy, dz = d0x + px * dxx + py * dyx, d0y + px * dxy + py * dyy, d0z + px * dxz + py * dyz
        wx, wy, wz = crosses[k], crosses[k + 64], crosses[k + 128]
        ux, uy, uz = crosses[k + 192], crosses[k + 256], crosses[k + 320]
        vx, vy, vz = crosses[k + 384], crosses[k + 448], crosses[k + 512]
        u0, v0 = fetched[k + 1152], fetched[k + 1216]
        du_e, dv_e = (fetched[k + 1280] - u0) * width, (fetched[k + 1344] - v0) * height
        du_f, dv_f = (fetched[k + 1408] - u0) * width, (fetched[k + 1472] - v0) * height
        w = dx * wx + dy * wy + dz * wz
        e, f = dx * ux + dy * uy + dz * uz, dx * vx + dy * vy + dz * vz
        w_x, w_y = dxx * wx + dxy * wy + dxz * wz, dyx * wx + dyy * wy + dyz * wz
        e_x, e_y = dxx * ux + dxy * uy + dxz * uz, dyx * ux + dyy * uy + dyz * uz
        f_x, f_y = dxx * vx + dxy * vy + dxz * vz, dyx * vx + dyy * vy + dyz * vz
        per_w, per_x, per_y = _ONE / w, _ONE / (w + w_x), _ONE / (w + w_y)
        e_x, f_x = (e + e_x) * per_x - e * per_w, (f + f_x) * per_x - f * per_w
        e_y, f_y = (e + e_y) * per_y - e * per_w, (f + f_y) * per_y - f * per_w
        ux_, vx_ = e_x * du_e + f_x * du_f, e_x * dv_e + f_x * dv_f
        uy_, vy_ = e_y * du_e + f_y * du_f, e_y * dv_e + f_y * dv_f
        spreads[k] = max(max(ux_ * ux_ + vx_ * vx_, uy_ * uy_ + vy_ * vy_), _TINY)


@compiled
def _find_levels(count, fetched, shares, levels, spreads, spots, sizes, firsts):
    """Finds texture coordinates, and the two mip levels that they are read from. Returns whether the second is needed.

    `spots` gets u and v and the weights of the two levels, which add to `_WEIGHTS`. `sizes` gets width and height of
    the first level, then of the second; `firsts` the places of their first texels.
    """
    highest = np.float32(levels[0] - 1)
    # Mesa takes the logarithm to base 2 from a float's bits: the exponent plus the mantissa.
    bits = spreads.view(np.int32)
    most = _ZERO
    for k in range(_TILE):
        share_e, share_f = shares[k], shares[k + 64]
        share_a = max(_ONE - share_e - share_f, _ZERO)
        spots[k] = share_a * fetched[k + 1152] + share_e * fetched[k + 1280] + share_f * fetched[k + 1408]
        spots[k + 64] = share_a * fetched[k + 1216] + share_e * fetched[k + 1344] + share_f * fetched[k + 1472]
        lod = (np.float32(bits[k]) * np.float32(1 / 8388608) - np.float32(127)) * _HALF
        lod = max(_ZERO, min(lod, highest))
        whole = np.floor(lod)
        spots[k + 128], spots[k + 192] = (_ONE - (lod - whole)) * _WEIGHTS, (lod - whole) * _WEIGHTS
        spreads[k] = whole
    for k in range(count):
        at = np.uint64(1 + 3 * np.int64(spreads[k]))
        firsts[k], sizes[k] = levels[at], np.float32(levels[at + np.uint64(1)])
        sizes[k + 64] = np.float32(levels[at + np.uint64(2)])
        most = max(most, spots[k + 192])
        at = min(at + np.uint64(3), np.uint64(3 * levels[0] - 2))
        firsts[k + 64], sizes[k + 128] = levels[at], np.float32(levels[at + np.uint64(1)])
        sizes[k + 192] = np.float32(levels[at + np.uint64(2)])
    return most > _ZERO


@compiled
def _weigh_texels(level, spots, sizes, firsts, taps, weights):
    """Finds the four texels around a place in a repeating texture, and their weights, in the first level or the second.

    Bilinear filtering. `taps` (512,) gets the texels' places, four for each level, and `weights` (512,) their weights.
    """
    size, first, weight = sizes[128 * level :][:128], firsts[64 * level :][:64], spots[128 + 64 * level :][:64]
    tap, share = taps[256 * level :][:256], weights[256 * level :][:256]
    for k in range(_TILE):
        u, v, width, height = spots[k], spots[k + 64], size[k], size[k + 64]
        x, y = (u - np.floor(u)) * width - _HALF, (v - np.floor(v)) * height - _HALF
        left, low = np.floor(x), np.floor(y)
        to_right, to_top = x - left, (y - low) * weight[k]
        right, high = left + _ONE, low + _ONE
        left, low = (left + width if left < _ZERO else left), (low + height if low < _ZERO else low)
        right, high = (right - width if right >= width else right), (high - height if high >= height else high)
        from_top, columns = weight[k] - to_top, np.int32(width)
        lower = np.int32(first[k] + np.int32(np.int32(low) * columns))
        upper = np.int32(first[k] + np.int32(np.int32(high) * columns))
        tap[k], tap[k + 64] = np.int32(lower + np.int32(left)), np.int32(lower + np.int32(right))
        tap[k + 128], tap[k + 192] = np.int32(upper + np.int32(left)), np.int32(upper + np.int32(right))
        share[k] = np.int32((_ONE - to_right) * from_top + _HALF)
        share[k + 64] = np.int32(to_right * from_top + _HALF)
        share[k + 128] = np.int32((_ONE - to_right) * to_top + _HALF)
        share[k + 192] = np.int32(to_right * to_top + _HALF)


@compiled
def _add_texels(count, is_between, taps, weights, texels, view, result):
    """Adds four texels of each level, three colours in one number."""
    red, green, blue = view[21] * _PER_WEIGHT, view[22] * _PER_WEIGHT, view[23] * _PER_WEIGHT
    for k in range(count):
        total = np.uint64(0)
        for j in range(0, 256, 64):
            total += texels[np.uint64(taps[k + j])] * np.uint64(weights[k + j])
        if is_between:
            for j in range(256, 512, 64):
                total += texels[np.uint64(taps[k + j])] * np.uint64(weights[k + j])
        result[k] = np.float32(np.int32(total & _FIELD)) * red
        result[k + 64] = np.float32(np.int32((total >> _GREEN) & _FIELD)) * green
        result[k + 128] = np.float32(np.int32((total >> _BLUE) & _FIELD)) * blue


@compiled
def finish_pixels(places, pixels, surfaces, shadow, width, rgb):
    """Writes the colours of some pixels.

    Args:
        places: (m,) int32, which of the pixels are written.
        pixels: (n,) int32, numbers of pixels, row by row from the bottom.
        surfaces: (8, n) float32, what they show.
        shadow: (rows, columns) uint16, depths from the light.
        width: Of the image.
        rgb: (height, width, 3) uint8, top row first; filled at the pixels.
    """
    per_width, top = 1.0 / width, len(rgb) - 1.0
    flat, targets = rgb.reshape(-1), np.zeros(_TILE, np.int32)
    fetched, colours = np.zeros(SURFACE_DIM * _TILE, np.float32), np.zeros(3 * _TILE, np.int32)
    corners, depths = np.zeros(2 * _TILE, np.int32), np.zeros(4 * _TILE, np.float32)
    for start in range(0, len(places), _TILE):
        tile = places[start : start + _TILE]
        for j in range(SURFACE_DIM):
            surface = surfaces[j]
            for k in range(len(tile)):
                fetched[64 * j + k] = surface[np.uint64(tile[k])]
        _shadow_corners(fetched, shadow.shape[0], shadow.shape[1], corners)
        for k in range(len(tile)):
            column, row = np.uint64(corners[k]), np.uint64(corners[k + 64])
            right, high = column + np.uint64(1), row + np.uint64(1)
            depths[k], depths[k + 64] = np.float32(shadow[row, column]), np.float32(shadow[row, right])
            depths[k + 128], depths[k + 192] = np.float32(shadow[high, column]), np.float32(shadow[high, right])
        _finish_tile(fetched, depths, shadow.shape[0], shadow.shape[1], colours)
        for k in range(len(tile)):
            pixel = np.float64(pixels[np.uint64(tile[k])])
            row = np.floor((pixel + 0.5) * per_width)
            targets[k] = np.int32(3.0 * (pixel + (top - 2.0 * row) * width))
        for k in range(len(tile)):
            target = np.uint64(targets[k])
            flat[target] = np.uint8(colours[k])
            flat[target + np.uint64(1)] = np.uint8(colours[k + 64])
            flat[target + np.uint64(2)] = np.uint8(colours[k + 128])


@compiled
def _shadow_corners(fetched, rows, columns, corners):
    """Column and row of the lower left of the four texels that each pixel of a tile reads, moved into the map."""
    right, top = np.float32(columns - 2), np.float32(rows - 2)
    for k in range(_TILE):
        corners[k] = np.int32(min(max(np.floor(fetched[k + 320]), _ZERO), right))
        corners[k + 64] = np.int32(min(max(np.floor(fetched[k + 384]), _ZERO), top))


@compiled
def _finish_tile(fetched, depths, rows, columns, colours):
    """The colours of a tile: four comparisons with the shadow map, weighted by nearness, then the light."""
    right, top = np.float32(columns - 1), np.float32(rows - 1)
    for k in range(_TILE):
        light, highlight = fetched[k + 192], fetched[k + 256]
        u, v, depth = fetched[k + 320], fetched[k + 384], np.ceil(fetched[k + 448])
        left, low = np.floor(u), np.floor(v)
        to_right, to_top = u - left, v - low
        lit = (_ONE - to_right) * (_ONE - to_top) if depth <= depths[k] else _ZERO
        lit += to_right * (_ONE - to_top) if depth <= depths[k + 64] else _ZERO
        lit += (_ONE - to_right) * to_top if depth <= depths[k + 128] else _ZERO
        lit += to_right * to_top if depth <= depths[k + 192] else _ZERO
        is_inside = (left >= _ZERO) & (low >= _ZERO) & (left + _ONE <= right) & (low + _ONE <= top)
        lit = lit if is_inside else _ONE
        lit = lit if light >= _HALF else _ZERO
        # Half of the light is ambient.
        factor = (_UNLIT * light + _LIT * light * lit) * _HALF + _HALF + highlight * lit
        colours[k] = np.int32(min(fetched[k] * factor, _WHITE) + _HALF)
        colours[k + 64] = np.int32(min(fetched[k + 64] * factor, _WHITE) + _HALF)
        colours[k + 128] = np.int32(min(fetched[k + 128] * factor, _WHITE) + _HALF)
