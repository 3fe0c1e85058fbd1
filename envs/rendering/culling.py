"""Which blocks of triangles can be visible. Blocks outside the image, or facing away, are dropped."""

import numpy as np

from calvinbench.envs.rendering.compiled import compiled

_SLACK = np.float32(1e-5)
"""Metres by which a block's sphere is made larger, for rounding."""


@compiled
def blocks_in_view(shapes, first_blocks, spheres, cones, projections, eyes, chosen):
    """Chooses the blocks that may show a front to a camera.

    Args:
        shapes: (n,) int32, the shapes to draw.
        first_blocks: (shapes + 1,) int32: shape s has blocks first_blocks[s] to first_blocks[s + 1] - 1.
        spheres: (blocks, 4) float32, centre and radius around each block, in its shape's frame.
        cones: (blocks, 4) float32, a mean normal and the sine of the widest angle between it and the block's normals;
            above 1 if they spread too far.
        projections: (shapes, 16) float32, from each shape's frame to clip coordinates.
        eyes: (shapes, 3) float32, the camera's place in each shape's frame.
        chosen: (blocks,) int32, to be filled.

    Returns:
        How many blocks were chosen.
    """
    count = 0
    planes = np.empty((5, 4), np.float32)
    for shape in shapes:
        q = projections[shape]
        # Left, right, bottom, top: clip coordinates with |x|, |y| <= w. The near plane is z >= -w.
        for k in range(4):
            planes[0, k], planes[1, k] = q[12 + k] + q[k], q[12 + k] - q[k]
            planes[2, k], planes[3, k] = q[12 + k] + q[4 + k], q[12 + k] - q[4 + k]
            planes[4, k] = q[12 + k] + q[8 + k]
        for p in range(5):
            length = np.sqrt(planes[p, 0] ** 2 + planes[p, 1] ** 2 + planes[p, 2] ** 2)
            for k in range(4):
                planes[p, k] /= length
        ex, ey, ez = eyes[shape, 0], eyes[shape, 1], eyes[shape, 2]
        for block in range(first_blocks[shape], first_blocks[shape + 1]):
            x, y, z = spheres[block, 0], spheres[block, 1], spheres[block, 2]
            radius = spheres[block, 3] + _SLACK
            dx, dy, dz = x - ex, y - ey, z - ez
            along = dx * cones[block, 0] + dy * cones[block, 1] + dz * cones[block, 2]
            if along >= cones[block, 3] * np.sqrt(dx * dx + dy * dy + dz * dz) + radius:
                continue
            inside = True
            for p in range(5):
                if planes[p, 0] * x + planes[p, 1] * y + planes[p, 2] * z + planes[p, 3] < -radius:
                    inside = False
                    break
            if inside:
                chosen[count] = block
                count += 1
    return count


@compiled
def blocks_facing_away(shapes, first_blocks, cones, directions, chosen):
    """Chooses the blocks that may show a back to parallel light.

    Args:
        shapes: As in `blocks_in_view`.
        first_blocks: As in `blocks_in_view`.
        cones: As in `blocks_in_view`.
        directions: (shapes, 3) float32, where the light goes, as unit vectors in each shape's frame.
        chosen: (blocks,) int32, to be filled.

    Returns:
        How many blocks were chosen.
    """
    count = 0
    for shape in shapes:
        dx, dy, dz = directions[shape, 0], directions[shape, 1], directions[shape, 2]
        for block in range(first_blocks[shape], first_blocks[shape + 1]):
            along = dx * cones[block, 0] + dy * cones[block, 1] + dz * cones[block, 2]
            if along >= -cones[block, 3] - _SLACK:
                chosen[count] = block
                count += 1
    return count
