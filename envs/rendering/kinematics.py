"""Where a body's links are, from its base's place and its joints' positions.

Bullet could compute it too. But Bullet would then also update the positions of tool and gripper camera, which lag a
substep behind in CALVIN's observations. So asking for an image would change what is observed.
"""

import numpy as np

from calvinbench.envs.rendering.compiled import compiled
from calvinbench.envs.rendering.shapes.descriptions import PRISMATIC, REVOLUTE


@compiled
def rotation(quaternion, frame):
    """Writes the rotation of a quaternion (x, y, z, w; any length) into the upper left of a frame (4, 4)."""
    x, y, z, w = quaternion[0], quaternion[1], quaternion[2], quaternion[3]
    s = 2.0 / (x * x + y * y + z * z + w * w)
    frame[0, 0], frame[0, 1], frame[0, 2] = 1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)
    frame[1, 0], frame[1, 1], frame[1, 2] = s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)
    frame[2, 0], frame[2, 1], frame[2, 2] = s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)


@compiled
def _product(a, b, out):
    """Writes a @ b to `out`, for frames whose last row is 0 0 0 1."""
    for i in range(3):
        for j in range(4):
            out[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j]
        out[i, 3] += a[i, 3]
    out[3, 0], out[3, 1], out[3, 2], out[3, 3] = 0.0, 0.0, 0.0, 1.0


@compiled
def place_links(positions, quaternions, joints, bodies, parents, frames, motions, axes, placed):
    """Places all links of all bodies.

    Args:
        positions: (bodies, 3) float64, of the bodies' centres of mass as Bullet reports them, metres.
        quaternions: (bodies, 4) float64.
        joints: (links,) float64, positions of the joints that links hang on, radians or metres.
        bodies: (links,) int64; this and the next four as in `geometry.Links`.
        parents: (links,) int64.
        frames: (links, 4, 4) float64.
        motions: (links,) int64.
        axes: (links, 3) float64.
        placed: (links, 4, 4) float64, to be filled: the links' frames in the world.
    """
    body, moved, hinge = np.zeros((4, 4)), np.zeros((4, 4)), np.zeros((4, 4))
    turn = np.zeros(4)
    for link in range(len(parents)):
        if parents[link] < 0:
            rotation(quaternions[bodies[link]], body)
            for i in range(3):
                body[i, 3] = positions[bodies[link], i]
            _product(body, frames[link], placed[link])
            continue
        _product(placed[parents[link]], frames[link], moved)
        hinge[:] = 0.0
        for i in range(3):
            hinge[i, i] = 1.0
        if motions[link] == PRISMATIC:
            for i in range(3):
                hinge[i, 3] = axes[link, i] * joints[link]
        elif motions[link] == REVOLUTE:
            half = 0.5 * joints[link]
            for i in range(3):
                turn[i] = axes[link, i] * np.sin(half)
            turn[3] = np.cos(half)
            rotation(turn, hinge)
        _product(moved, hinge, placed[link])
