"""The colour of a pixel: its surface, light, texture and shadow.

Each pixel is shaded once, after its nearest triangle is known, in two steps. `light_pixels` computes what does not
depend on shadows, the pixel's *surface*: colour, light, highlight, and its place in the shadow map. `finish_pixels`
reads the shadow map and writes the image. The formulas and constants are those of Bullet's OpenGL shader
(`useShadowMapInstancingPS` of Bullet 3.2.7) at the settings that its EGL plugin uses.
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
def changed_pixels(keys, still_keys, chosen):
    """Finds the pixels that do not show the same triangle as the still layer. Returns their number."""
    count = 0
    for pixel in range(len(keys)):
        if keys[pixel] != still_keys[pixel]:
            chosen[count] = pixel
            count += 1
    return count


@compiled
def pixels_in_shadow_of(bounds, still_depths, depths, keys, still_keys, surfaces, chosen):
    """Finds the pixels of the still layer that moving things may shade. Returns their number.

    Args:
        bounds: (4,) first column and row, last column and row of what moving things cast.
        still_depths: (rows, columns) uint16, the shadow map without moving things.
        depths: (rows, columns) uint16, the shadow map with them.
        keys: (pixels,) int64.
        still_keys: (pixels,) int64.
        surfaces: (8, pixels) float32, of the still layer.
        chosen: (pixels,) int32, to be filled.
    """
    columns, rows, lights = surfaces[5], surfaces[6], surfaces[3]
    first_column, first_row = np.float32(bounds[0] - 1), np.float32(bounds[1] - 1)
    last_column, last_row = np.float32(bounds[2] + 1), np.float32(bounds[3] + 1)
    last_x, last_y = depths.shape[1] - 1, depths.shape[0] - 1
    count = 0
    for pixel in range(len(keys)):
        inside = (columns[pixel] >= first_column) & (columns[pixel] <= last_column) & (lights[pixel] >= _HALF)
        inside &= (rows[pixel] >= first_row) & (rows[pixel] <= last_row)
        if inside & (keys[pixel] == still_keys[pixel]):
            column, row = np.int64(np.floor(columns[pixel])), np.int64(np.floor(rows[pixel]))
            left, right = np.uint64(min(max(column, 0), last_x)), np.uint64(min(max(column + 1, 0), last_x))
            low, high = np.uint64(min(max(row, 0), last_y)), np.uint64(min(max(row + 1, 0), last_y))
            changed = (depths[low, left] != still_depths[low, left]) | (depths[low, right] != still_depths[low, right])
            changed |= depths[high, left] != still_depths[high, left]
            changed |= depths[high, right] != still_depths[high, right]
            chosen[count] = pixel
            count += changed
    return count


@compiled
def _filtered(texels, offset, width, height, u, v, weight):
    """Bilinear filtering of a level of a repeating texture: three sums in one number. Weights add to `weight`."""
    x, y = (u - np.floor(u)) * np.float32(width) - _HALF, (v - np.floor(v)) * np.float32(height) - _HALF
    left, low = np.floor(x), np.floor(y)
    to_right, to_top = x - left, (y - low) * weight
    x0, y0 = np.int32(left), np.int32(low)
    x1, y1 = x0 + 1, y0 + 1
    x0, y0 = (x0 + width if x0 < 0 else x0), (y0 + height if y0 < 0 else y0)
    x1, y1 = (x1 - width if x1 >= width else x1), (y1 - height if y1 >= height else y1)
    lower, upper = offset + y0 * width, offset + y1 * width
    from_top = weight - to_top
    total = texels[np.uint64(lower + x0)] * np.uint64(np.int32((_ONE - to_right) * from_top + _HALF))
    total += texels[np.uint64(lower + x1)] * np.uint64(np.int32(to_right * from_top + _HALF))
    total += texels[np.uint64(upper + x0)] * np.uint64(np.int32((_ONE - to_right) * to_top + _HALF))
    total += texels[np.uint64(upper + x1)] * np.uint64(np.int32(to_right * to_top + _HALF))
    return total


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
    for pixel in pixels:
        first_pixels[shapes[keys[pixel] & NUMBER_MASK] + 1] += 1
    for shape in range(len(first_pixels) - 1):
        first_pixels[shape + 1] += first_pixels[shape]
    following = first_pixels.copy()
    for pixel in pixels:
        shape = shapes[keys[pixel] & NUMBER_MASK]
        ordered[following[shape]] = pixel
        following[shape] += 1


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
        surfaces: (8, pixels) float32, to be filled at `pixels`.
    """
    # The arrays are flat, because loops with offsets that the compiler knows are vectorised. Loops always run over a
    # whole tile. If it has fewer pixels, the rest keeps old numbers, which are not used.
    fetched = np.zeros(24 * _TILE, np.float32)
    places = np.zeros(2 * _TILE, np.float32)
    crosses = np.zeros(9 * _TILE, np.float32)
    shares = np.zeros(3 * _TILE, np.float32)
    spreads = np.zeros(_TILE, np.float32)
    result = np.zeros(SURFACE_DIM * _TILE, np.float32)
    for shape in range(len(first_pixels) - 1):
        last = first_pixels[shape + 1]
        for start in range(first_pixels[shape], last, _TILE):
            tile = pixels[start : min(start + _TILE, last)]
            for k in range(len(tile)):
                number = keys[tile[k]] & NUMBER_MASK
                places[k] = np.float32(tile[k] % width) + _HALF
                places[k + 64] = np.float32(tile[k] // width) + _HALF
                for j in range(24):
                    fetched[64 * j + k] = attributes[number, j]
            _meet(places, fetched, views[shape], crosses, shares)
            _light(places, fetched, shares, views[shape], eye, rays, light, result)
            if levels[shape, 0] > 0:
                _spread(places, fetched, views[shape], crosses, levels[shape], spreads)
                _texture(len(tile), fetched, shares, views[shape], levels[shape], texels, spreads, result)
            for j in range(SURFACE_DIM):
                for k in range(len(tile)):
                    surfaces[j, tile[k]] = result[64 * j + k]


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
def _texture(count, fetched, shares, view, levels, texels, spreads, result):
    """Reads colours from a texture: interpolated between two mip levels, and in each between four texels."""
    red, green, blue = view[21] * _PER_WEIGHT, view[22] * _PER_WEIGHT, view[23] * _PER_WEIGHT
    highest = np.float32(levels[0] - 1)
    # Mesa takes the logarithm to base 2 from a float's bits: the exponent plus the mantissa.
    bits = spreads.view(np.int32)
    for k in range(count):
        share_e, share_f = shares[k], shares[k + 64]
        share_a = max(_ONE - share_e - share_f, _ZERO)
        u = share_a * fetched[k + 1152] + share_e * fetched[k + 1280] + share_f * fetched[k + 1408]
        v = share_a * fetched[k + 1216] + share_e * fetched[k + 1344] + share_f * fetched[k + 1472]
        lod = (np.float32(bits[k]) * np.float32(1 / 8388608) - np.float32(127)) * _HALF
        lod = max(_ZERO, min(lod, highest))
        at = 1 + 3 * np.int32(lod)
        rest = lod - np.floor(lod)
        total = _filtered(texels, levels[at], levels[at + 1], levels[at + 2], u, v, (_ONE - rest) * _WEIGHTS)
        if rest > _ZERO:
            at += 3
            total += _filtered(texels, levels[at], levels[at + 1], levels[at + 2], u, v, rest * _WEIGHTS)
        result[k] = np.float32(np.int32(total & _FIELD)) * red
        result[k + 64] = np.float32(np.int32((total >> _GREEN) & _FIELD)) * green
        result[k + 128] = np.float32(np.int32((total >> _BLUE) & _FIELD)) * blue


@compiled
def finish_pixels(pixels, surfaces, shadow, width, rgb):
    """Writes the colours of some pixels.

    Args:
        pixels: (n,) int32, numbers of pixels, row by row from the bottom.
        surfaces: (8, pixels) float32.
        shadow: (rows, columns) uint16, depths from the light.
        width: Of the image.
        rgb: (height, width, 3) uint8, top row first; filled at `pixels`.
    """
    rows, columns = shadow.shape
    top = len(rgb) - 1
    for pixel in pixels:
        light, highlight = surfaces[3, pixel], surfaces[4, pixel]
        lit = _ZERO
        if light >= _HALF:
            u, v = surfaces[5, pixel], surfaces[6, pixel]
            left, low = np.floor(u), np.floor(v)
            column, row = np.int64(left), np.int64(low)
            lit = _ONE
            if column >= 0 and row >= 0 and column + 1 < columns and row + 1 < rows:
                # Four comparisons, weighted by nearness.
                depth = np.int32(np.ceil(surfaces[7, pixel]))
                to_right, to_top = u - left, v - low
                lit = (_ONE - to_right) * (_ONE - to_top) if depth <= shadow[row, column] else _ZERO
                lit += to_right * (_ONE - to_top) if depth <= shadow[row, column + 1] else _ZERO
                lit += (_ONE - to_right) * to_top if depth <= shadow[row + 1, column] else _ZERO
                lit += to_right * to_top if depth <= shadow[row + 1, column + 1] else _ZERO
        # Half of the light is ambient.
        factor = (_UNLIT * light + _LIT * light * lit) * _HALF + _HALF + highlight * lit
        y, x = top - pixel // width, pixel % width
        for channel in range(3):
            rgb[y, x, channel] = np.uint8(min(surfaces[channel, pixel] * factor, _WHITE) + _HALF)
