"""How the scripted expert grasps a block, and how it puts one down."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from calvinbench.envs.expert.motion import CLOSED, OPEN, Motion, go, hold, pass_over
from calvinbench.envs.expert.view import FRONT_YAW, Vector, View, face_yaw, tool_rotation

LEAN_RAD = 0.5
"""How far the tool leans to the front when it grasps a block, so that the wrist does not touch the cabinet."""
LEAN_IN_CABINET_RAD = 0.6
_WIDEST_GRASP_M = 0.062
_FINGER_REACH_M = 0.054
"""From the tool's axis to the middle of an open finger."""
_BUTTON = np.array([-0.12, -0.12])


def grasp_yaws(view: View, block: str) -> list[tuple[float, float]]:
    """Yaws at which the fingers close on two faces of a block, each with the width between these faces."""
    axes = view.rotation(block).as_matrix()
    yaws = []
    for axis, width in enumerate(view.block_sizes[block]):
        x, y, z = axes[:, axis]
        if abs(z) < 0.5 and width <= _WIDEST_GRASP_M:
            yaw = float(np.arctan2(y, x)) + np.pi / 2
            yaws += [(yaw + half_turns * np.pi, width) for half_turns in (-2, -1, 0, 1, 2)]
    return yaws


def best_yaw(view: View, block: str) -> float:
    """The yaw with the lowest cost. Turning the wrist, a wide grasp and too little room for the fingers cost."""

    def cost(candidate: tuple[float, float]) -> float:
        yaw, width = candidate
        return abs(yaw - FRONT_YAW) + (0.0 if width < 0.05 else 0.25) + _crowding(view, block, yaw)

    candidates = [candidate for candidate in grasp_yaws(view, block) if abs(candidate[0] - FRONT_YAW) < 1.75]
    return min(candidates, key=cost)[0] if candidates else FRONT_YAW


def _crowding(view: View, block: str, yaw: float) -> float:
    """A penalty for fingers that would hit neighbouring blocks, the button or walls."""
    centre = view.position(block)
    place = view.place(block)
    obstacles = [
        (view.position(other)[:2], 0.038 if other == "block_pink" else 0.03)
        for other in view.others(block)
        if abs(view.position(other)[2] - centre[2]) < 0.05
    ]
    if place == "table":
        obstacles.append((_BUTTON, 0.04))
    opening = np.array([np.sin(yaw), -np.cos(yaw)])
    penalty = 0.0
    for side in (-1, 1):
        x, y = finger = centre[:2] + side * _FINGER_REACH_M * opening
        penalty += sum(120 * max(0.0, radius + 0.016 - float(np.linalg.norm(finger - at))) for at, radius in obstacles)
        if place == "drawer":
            front = -0.157 - view.drawer
            penalty += 150 * (max(0, 0.015 - x) + max(0, x - 0.345) + max(0, front + 0.015 - y) + max(0, y + 0.20))
        if place == "slider":
            penalty += 40 * (max(0, -0.345 - x) + max(0, x - 0.145) + 2 * max(0, abs(yaw - FRONT_YAW) - 0.6))
    return penalty


def grasp(view: View, block: str, lean: float = LEAN_RAD, yaw: float | None = None, raised: float = 0.0) -> Motion:
    """Grasps a block from above and the front, along the tool's axis. Gives up if the block has moved meanwhile."""
    place = view.place(block)
    lean = LEAN_IN_CABINET_RAD if place == "slider" else lean
    rotation = tool_rotation(best_yaw(view, block) if yaw is None else yaw, lean)
    approach = rotation.apply([0.0, 0.0, 1.0])
    seen = view.position(block)
    before = seen - approach * (0.16 if place == "slider" else 0.10)
    height = {"slider": 0.58, "drawer": 0.5}.get(place, max(0.56, before[2]))
    yield from pass_over(view, before, rotation, height=height)
    centre = view.position(block)
    if np.linalg.norm(centre - seen) > 0.015:
        return
    yield from go(view, centre + [0.0, 0.0, raised], rotation, speed=0.6, tolerance=0.006, settle=8)
    yield from hold(view, CLOSED, 8)


def put(
    view: View,
    block: str,
    position: Vector,
    via: Sequence[Vector],
    drop: float = 0.004,
    align_yaw: float | None = None,
    speed: float = 0.5,
) -> Motion:
    """Carries the held block to a place, level, and lets go just above it.

    It lets go a few millimetres above the surface. So the subtask does not end while the gripper holds the block.

    Args:
        view: The world.
        block: The held block.
        position: Where its centre should be.
        via: Points that its centre should pass.
        drop: Height above `position` at which it is let go, metres.
        align_yaw: A yaw that the block's faces should be parallel to; None keeps the block's own.
        speed: Speed of the last motion, as a fraction of the full speed.
    """
    levelling = view.levelling(block)
    if align_yaw is not None:
        yaw = face_yaw(levelling * view.rotation(block))
        turn = (align_yaw - yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4
        levelling = Rotation.from_euler("z", turn) * levelling
    rotation = levelling * view.tool
    block_from_tool = levelling.apply(view.position(block) - view.tcp)
    for point in via:
        yield from go(view, point - block_from_tool, rotation, CLOSED, tolerance=0.015)
    release = position + np.array([0.0, 0.0, drop])
    yield from go(view, release - block_from_tool, rotation, CLOSED, speed=speed, tolerance=0.004, settle=8)
    off = release - view.position(block)
    if np.linalg.norm(off) < 0.03:
        yield from go(view, view.target + off, rotation, CLOSED, speed=speed, settle=4)
    yield from hold(view, OPEN, 6)
