"""What colour a pixel has: its surface, the light on it, its texture and the shadow over it.

Shading is done once for each pixel, after the nearest triangle is known, in two steps. `light_pixels` finds what does
not depend on shadows, the pixel's *surface*: colour, light, highlight, and where to look in the shadow map.
`finish_pixels` looks there and writes the picture. The formulas and constants are those of Bullet's OpenGL shader
(`useShadowMapInstancingPS` of Bullet 3.2.7) at the settings that its EGL plugin uses.
"""

import numpy as np

from calvinbench.envs.rendering.compiled import compiled
from calvinbench.envs.rendering.drawing import NUMBER_MASK

BACKGROUND = (179, 179, 204)
SURFACE_DIM = 8
"""Numbers of a surface: red, green, blue (0..255), light, highlight, column, row and depth in the shadow map."""
VIEW_DIM = 24
"""Numbers that `light_pixels` needs of a shape: see there."""
_TILE = 128
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
"""Sum of a texel's weights: 13 bits, which with the 8 of a colour fill the 21 bits of a field."""
_PER_WEIGHT = np.float32(1 / 8192)
_FIELD = np.uint64((1 << 21) - 1)
_GREEN = np.uint64(21)
_BLUE = np.uint64(42)


@compiled
def changed_pixels(keys, still_keys, chosen):
    """Chooses the pixels where another triangle is seen than in the still layer; returns how many."""
    count = 0
    for pixel in range(len(keys)):
        if keys[pixel] != still_keys[pixel]:
            chosen[count] = pixel
            count += 1
    return count


@compiled
def pixels_in_shadow_of(bounds, keys, still_keys, surfaces, chosen):
    """Chooses the pixels of the still layer whose place in the shadow map lies in bounds; returns how many.

    Args:
        bounds: (4,) first column and row, last column and row of what moving things cast.
        keys: (pixels,) int64.
        still_keys: (pixels,) int64.
        surfaces: (8, pixels) float32, of the still layer.
        chosen: (pixels,) int32, to be filled.
    """
    columns, rows, lights = surfaces[5], surfaces[6], surfaces[3]
    first_column, first_row = np.float32(bounds[0] - 1), np.float32(bounds[1] - 1)
    last_column, last_row = np.float32(bounds[2] + 1), np.float32(bounds[3] + 1)
    count = 0
    for pixel in range(len(keys)):
        inside = (columns[pixel] >= first_column) & (columns[pixel] <= last_column)
        inside &= (rows[pixel] >= first_row) & (rows[pixel] <= last_row) & (lights[pixel] >= _HALF)
        if inside & (keys[pixel] == still_keys[pixel]):
            chosen[count] = pixel
            count += 1
    return count


@compiled
def _filtered(texels, offset, width, height, u, v, weight):
    """Bilinear filtering of a level of a texture that repeats: three sums in one number, weights adding to `weight`."""
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
def light_pixels(pixels, keys, width, attributes, shapes, views, eye, rays, levels, texels, light, surfaces):
    """Finds the surface at each of some pixels.

    The point that a pixel shows is where the ray through its centre meets the triangle's plane. With the triangle's
    corner a and edges e, f, and the camera at a + t, that is (Cramer's rule) for a ray d:
    depth = f.(t x e) / w, share of e = d.(f x t) / w, share of f = d.(t x e) / w, with w = d.(f x e).

    Args:
        pixels: (n,) int32, numbers of pixels, row by row from the bottom.
        keys: (pixels,) int64, see `drawing`.
        width: Of the picture.
        attributes: (triangles, 24) float32, see `blocks.Triangles`.
        shapes: (triangles,) int32, which shape each triangle belongs to.
        views: (shapes, 24) float32: the camera's ray through the picture's lower left corner and its change by column
            and by row, and the camera's place, all in the shape's frame; the shape's rotation, rows first; its colour.
        eye: (3,) float32, the camera's place in the world.
        rays: (3, 3) float32, the three rays of `views` in the world.
        levels: (shapes, 40) int32: number of mip levels, then offset, width and height of each; 0 without a texture.
        texels: (texels,) uint64, three fields of 21 bits each.
        light: (22,) float32: direction to the light, its place, the place highlights are seen from; then the rows that
            lead to column, row and depth in the shadow map, with their offsets.
        surfaces: (8, pixels) float32, to be filled at `pixels`.
    """
    fetched = np.empty((48, _TILE), np.float32)
    depth_rays = np.empty((2, _TILE), np.float32)
    us, vs, spreads = np.empty(_TILE, np.float32), np.empty(_TILE, np.float32), np.empty(_TILE, np.float32)
    of_shape, numbers = np.empty(_TILE, np.int32), np.empty(_TILE, np.int32)
    texture_width, texture_height = np.empty(_TILE, np.float32), np.empty(_TILE, np.float32)
    result = np.empty((SURFACE_DIM, _TILE), np.float32)
    px, py = depth_rays[0], depth_rays[1]
    ax, ay, az = fetched[0], fetched[1], fetched[2]
    ex, ey, ez = fetched[3], fetched[4], fetched[5]
    fx, fy, fz = fetched[6], fetched[7], fetched[8]
    n0x, n0y, n0z = fetched[9], fetched[10], fetched[11]
    n1x, n1y, n1z = fetched[12], fetched[13], fetched[14]
    n2x, n2y, n2z = fetched[15], fetched[16], fetched[17]
    u0, v0, u1 = fetched[18], fetched[19], fetched[20]
    v1, u2, v2 = fetched[21], fetched[22], fetched[23]
    d0x, d0y, d0z = fetched[24], fetched[25], fetched[26]
    dxx, dxy, dxz = fetched[27], fetched[28], fetched[29]
    dyx, dyy, dyz = fetched[30], fetched[31], fetched[32]
    ox, oy, oz = fetched[33], fetched[34], fetched[35]
    r00, r01, r02 = fetched[36], fetched[37], fetched[38]
    r10, r11, r12 = fetched[39], fetched[40], fetched[41]
    r20, r21, r22 = fetched[42], fetched[43], fetched[44]
    red, green, blue = fetched[45], fetched[46], fetched[47]
    lx, ly, lz = light[0], light[1], light[2]
    sx, sy, sz = light[3], light[4], light[5]
    hx, hy, hz = light[6], light[7], light[8]
    m00, m01, m02, m03 = light[9], light[10], light[11], light[12]
    m10, m11, m12, m13 = light[13], light[14], light[15], light[16]
    m20, m21, m22, m23 = light[17], light[18], light[19], light[20]
    for start in range(0, len(pixels), _TILE):
        count = min(_TILE, len(pixels) - start)
        any_texture = False
        for k in range(_TILE):
            pixel = pixels[start + min(k, count - 1)]
            number = np.int32(keys[pixel] & NUMBER_MASK)
            shape = shapes[number]
            px[k], py[k] = np.float32(pixel % width) + _HALF, np.float32(pixel // width) + _HALF
            of_shape[k], numbers[k] = shape, number
            for j in range(24):
                fetched[j, k] = attributes[number, j]
            for j in range(VIEW_DIM):
                fetched[24 + j, k] = views[shape, j]
            texture_width[k], texture_height[k] = levels[shape, 2], levels[shape, 3]
            any_texture |= levels[shape, 0] > 0
        for k in range(_TILE):
            x, y = px[k], py[k]
            dx = d0x[k] + x * dxx[k] + y * dyx[k]
            dy = d0y[k] + x * dxy[k] + y * dyy[k]
            dz = d0z[k] + x * dxz[k] + y * dyz[k]
            tx, ty, tz = ox[k] - ax[k], oy[k] - ay[k], oz[k] - az[k]
            wx, wy, wz = (
                fy[k] * ez[k] - fz[k] * ey[k],
                fz[k] * ex[k] - fx[k] * ez[k],
                fx[k] * ey[k] - fy[k] * ex[k],
            )
            ux, uy, uz = fy[k] * tz - fz[k] * ty, fz[k] * tx - fx[k] * tz, fx[k] * ty - fy[k] * tx
            vx, vy, vz = ty * ez[k] - tz * ey[k], tz * ex[k] - tx * ez[k], tx * ey[k] - ty * ex[k]
            w = dx * wx + dy * wy + dz * wz
            per_w = _ONE / w
            share_e = (dx * ux + dy * uy + dz * uz) * per_w
            share_f = (dx * vx + dy * vy + dz * vz) * per_w
            depth = (fx[k] * vx + fy[k] * vy + fz[k] * vz) * per_w
            # A pixel's centre may lie outside by the width of OpenGL's grid.
            share_e, share_f = min(max(share_e, _ZERO), _ONE), min(max(share_f, _ZERO), _ONE)
            share_a = max(_ONE - share_e - share_f, _ZERO)
            us[k] = share_a * u0[k] + share_e * u1[k] + share_f * u2[k]
            vs[k] = share_a * v0[k] + share_e * v1[k] + share_f * v2[k]
            # How far the texture moves from this pixel to the next column and the next row, in texels.
            du1, dv1, du2, dv2 = u1[k] - u0[k], v1[k] - v0[k], u2[k] - u0[k], v2[k] - v0[k]
            exact_u = u0[k] + ((dx * ux + dy * uy + dz * uz) * du1 + (dx * vx + dy * vy + dz * vz) * du2) * per_w
            exact_v = v0[k] + ((dx * ux + dy * uy + dz * uz) * dv1 + (dx * vx + dy * vy + dz * vz) * dv2) * per_w
            spread = _ZERO
            for axis in range(2):
                bx = dx + (dxx[k] if axis == 0 else dyx[k])
                by = dy + (dxy[k] if axis == 0 else dyy[k])
                bz = dz + (dxz[k] if axis == 0 else dyz[k])
                per_b = _ONE / (bx * wx + by * wy + bz * wz)
                be, bf = bx * ux + by * uy + bz * uz, bx * vx + by * vy + bz * vz
                du = (u0[k] + (be * du1 + bf * du2) * per_b - exact_u) * texture_width[k]
                dv = (v0[k] + (be * dv1 + bf * dv2) * per_b - exact_v) * texture_height[k]
                spread = max(spread, du * du + dv * dv)
            spreads[k] = max(spread, _TINY)
            nx = share_a * n0x[k] + share_e * n1x[k] + share_f * n2x[k]
            ny = share_a * n0y[k] + share_e * n1y[k] + share_f * n2y[k]
            nz = share_a * n0z[k] + share_e * n1z[k] + share_f * n2z[k]
            qx = r00[k] * nx + r01[k] * ny + r02[k] * nz
            qy = r10[k] * nx + r11[k] * ny + r12[k] * nz
            qz = r20[k] * nx + r21[k] * ny + r22[k] * nz
            per_length = _ONE / np.sqrt(qx * qx + qy * qy + qz * qz + _TINY)
            qx, qy, qz = qx * per_length, qy * per_length, qz * per_length
            gx = eye[0] + depth * (rays[0, 0] + x * rays[1, 0] + y * rays[2, 0])
            gy = eye[1] + depth * (rays[0, 1] + x * rays[1, 1] + y * rays[2, 1])
            gz = eye[2] + depth * (rays[0, 2] + x * rays[1, 2] + y * rays[2, 2])
            facing = qx * lx + qy * ly + qz * lz
            result[3, k] = _HALF + _HALF * min(max(facing, -_ONE), _ONE)
            ix, iy, iz = sx - gx, sy - gy, sz - gz
            cx, cy, cz = hx - gx, hy - gy, hz - gz
            per_i = _ONE / np.sqrt(ix * ix + iy * iy + iz * iz)
            per_c = _ONE / np.sqrt(cx * cx + cy * cy + cz * cz)
            twice = _TWO * (ix * qx + iy * qy + iz * qz)
            mirrored = (cx * (twice * qx - ix) + cy * (twice * qy - iy) + cz * (twice * qz - iz)) * per_i * per_c
            mirrored = max(mirrored, _ZERO) if facing >= _ZERO else _ZERO
            power = mirrored * mirrored
            power = power * power
            power8 = power * power
            power = power8 * power8
            # The shininess is 41 and the strength 0.5.
            result[4, k] = power * power * power8 * mirrored * _HALF
            result[5, k] = m00 * gx + m01 * gy + m02 * gz + m03
            result[6, k] = m10 * gx + m11 * gy + m12 * gz + m13
            result[7, k] = m20 * gx + m21 * gy + m22 * gz + m23
            result[0, k], result[1, k], result[2, k] = _WHITE * red[k], _WHITE * green[k], _WHITE * blue[k]
        if any_texture:
            # Mesa takes the logarithm to base 2 from a float's bits: exponent, and mantissa as they are.
            bits = spreads.view(np.int32)
            for k in range(count):
                row = levels[of_shape[k]]
                if row[0] == 0:
                    continue
                lod = (np.float32(bits[k]) * np.float32(1 / 8388608) - np.float32(127)) * _HALF
                lod = max(_ZERO, min(lod, np.float32(row[0] - 1)))
                level = np.int32(lod)
                rest = lod - np.floor(lod)
                at = 1 + 3 * level
                total = _filtered(texels, row[at], row[at + 1], row[at + 2], us[k], vs[k], (_ONE - rest) * _WEIGHTS)
                if rest > _ZERO:
                    at += 3
                    total += _filtered(texels, row[at], row[at + 1], row[at + 2], us[k], vs[k], rest * _WEIGHTS)
                result[0, k] = np.float32(np.int32(total & _FIELD)) * _PER_WEIGHT * red[k]
                result[1, k] = np.float32(np.int32((total >> _GREEN) & _FIELD)) * _PER_WEIGHT * green[k]
                result[2, k] = np.float32(np.int32((total >> _BLUE) & _FIELD)) * _PER_WEIGHT * blue[k]
        for j in range(SURFACE_DIM):
            for k in range(count):
                surfaces[j, pixels[start + k]] = result[j, k]


@compiled
def finish_pixels(pixels, surfaces, shadow, width, rgb):
    """Writes the colours of some pixels.

    Args:
        pixels: (n,) int32, numbers of pixels, row by row from the bottom.
        surfaces: (8, pixels) float32.
        shadow: (rows, columns) uint16, depths from the light.
        width: Of the picture.
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
