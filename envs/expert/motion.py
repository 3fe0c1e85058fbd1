"""The scripted expert's motions. Each yields one relative action a step, until the tool is where it should be."""

from collections.abc import Iterator
from itertools import count

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from calvinbench.envs.expert.view import CABINET_OUT, Vector, View
from calvinbench.envs.observation import MAX_RELATIVE_EULER_RAD, MAX_RELATIVE_POSITION_M

Action = Float64[np.ndarray, "7"]
Motion = Iterator[Action]
"""Yields the next action. When it is resumed, the view shows the state that the action led to."""

OPEN = 1.0
CLOSED = -1.0
TRAVEL_HEIGHT_M = 0.58
"""The height at which the tool travels: above the blocks. It travels in front of the cabinet."""
_TURN_PER_M = 5.0
"""Radians per metre. The target has arrived when it is within `tolerance_m` of the waypoint, and its rotation within
`tolerance_m` times this number. Only then does the motion wait for the tool."""
_WRIST_YAWS_RAD = (-0.7, 4.7)
"""Yaws of the target, relative to the arm's initial pose, that the wrist's last joint can reach."""
_WOUND_UP_M = 0.03
"""If the target is farther than this from the tool, the arm was blocked while the target moved on."""


def hold(view: View, gripper: float, num_steps: int | None) -> Motion:
    """Keeps the target where it is, with the gripper open or closed. A target that was moved is brought back.

    Args:
        view: The world.
        gripper: +1 (open) or -1 (closed).
        num_steps: Number of steps; None for no end.
    """
    position, euler = view.target.copy(), view.state.target_euler.copy()
    for _ in count() if num_steps is None else range(num_steps):
        yield _towards(view, position, euler, gripper, 1.0)


def _towards(view: View, position: Vector, euler: Vector, gripper: float, speed: float) -> Action:
    """The action that moves the target straight towards a pose, as far as one step allows."""
    to_go = position - view.target
    to_turn = euler - view.state.target_euler
    stretch = max(1.0, np.abs(to_go).max() / (MAX_RELATIVE_POSITION_M * speed))
    turn_stretch = max(1.0, np.abs(to_turn).max() / MAX_RELATIVE_EULER_RAD)
    return np.array(
        [*to_go / stretch / MAX_RELATIVE_POSITION_M, *to_turn / turn_stretch / MAX_RELATIVE_EULER_RAD, gripper]
    )


def go(
    view: View,
    position: Vector,
    rotation: Rotation | None = None,
    gripper: float = OPEN,
    speed: float = 1.0,
    tolerance: float = 0.01,
    max_steps: int = 80,
    settle: int = 6,
) -> Motion:
    """Moves the target in a straight line to a waypoint and waits for the tool to arrive.

    Args:
        view: The world.
        position: Where the tool should be.
        rotation: How it should be turned; None keeps the target's rotation.
        gripper: +1 (open) or -1 (closed).
        speed: Fraction of the full 0.02 m a step.
        tolerance: How close the tool must come, metres.
        max_steps: Steps after which it gives up.
        settle: Most steps to wait for the tool once the target has arrived.
    """
    position = np.asarray(position, dtype=np.float64)
    euler = view.state.target_euler.copy() if rotation is None else _nearest_euler(rotation, view.state.target_euler)
    waited = 0
    for _ in range(max_steps):
        yield _towards(view, position, euler, gripper, speed)
        target_off = np.abs(position - view.target).max()
        turn_off = np.abs(euler - view.state.target_euler).max()
        if target_off < view.tolerance_m and turn_off < view.tolerance_m * _TURN_PER_M:
            waited += 1
            if np.linalg.norm(view.tcp - position) < tolerance or waited >= settle:
                return


def _nearest_euler(rotation: Rotation, reference: Vector) -> Vector:
    """The euler xyz of a rotation that is nearest to a reference and has a yaw that the wrist's last joint can reach.

    Every rotation has two sets of euler angles, each modulo a full turn.
    """
    x, y, z = rotation.as_euler("xyz")
    candidates = [np.array([x, y, z]), np.array([x + np.pi, np.pi - y, z + np.pi])]
    near = [reference + (c - reference + np.pi) % (2 * np.pi) - np.pi for c in candidates]
    turned = [c + np.array([0.0, 0.0, turn]) for c in near for turn in (-2 * np.pi, 0.0, 2 * np.pi)]

    def cost(euler: Vector) -> float:
        low, high = _WRIST_YAWS_RAD
        return float(np.abs(euler - reference).sum() + 100 * max(0.0, low - euler[2], euler[2] - high))

    return min(turned, key=cost)


def unwind(view: View) -> Motion:
    """Brings the target back to the tool, after the arm was blocked and the target moved on."""
    yield from go(view, view.tcp, gripper=view.gripper, max_steps=4, settle=1)


def pass_over(view: View, position: Vector, rotation: Rotation, gripper: float = OPEN, height: float = 0.0) -> Motion:
    """Reaches a waypoint from above and from the front, where nothing is in the way."""
    x, y, z = position
    above = np.array([x, min(y, -0.05), max(height or TRAVEL_HEIGHT_M, z)])
    yield from go(view, above, rotation, gripper, tolerance=0.02)
    yield from go(view, position, rotation, gripper)


def retreat(view: View, gripper: float = OPEN) -> Motion:
    """Moves the gripper away without hitting anything, into the free space above the front of the table."""
    if np.linalg.norm(view.tcp - view.target) > _WOUND_UP_M:
        yield from unwind(view)
    if view.is_before_cabinet() and view.tcp[2] > 0.43:
        if gripper == CLOSED and view.tcp[1] > 0.03:
            yield from go(view, view.tcp + [0.0, 0.0, 0.03], gripper=gripper, speed=0.5)
        way_out = max(0.03, 0.15 - view.depth_outside_cabinet(view.tcp))
        yield from go(view, view.tcp + way_out * CABINET_OUT, gripper=gripper)
    x, y, z = view.tcp
    if z < TRAVEL_HEIGHT_M - 0.01:
        yield from go(view, np.array([x, y, TRAVEL_HEIGHT_M]), gripper=gripper)
