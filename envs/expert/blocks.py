"""The scripted expert's routines for blocks: lift, rotate, push, place, stack and unstack."""

import numpy as np

from calvinbench.envs.expert.fixtures import BUTTON_TOP, DRAWER_X, open_drawer_for, uncover
from calvinbench.envs.expert.grasp import grasp, grasp_yaws, put
from calvinbench.envs.expert.motion import CLOSED, OPEN, Motion, go, hold, retreat
from calvinbench.envs.expert.view import CABINET_OUT, FRONT_YAW, View, face_yaw, tool_rotation


def lift(view: View, block: str) -> Motion:
    """Grasps a block and lifts it, from the table, the cabinet or the drawer."""
    place = view.place(block)
    if place == "slider":
        yield from uncover(view, view.position(block)[0])
    if place == "drawer":
        yield from open_drawer_for(view, view.position(block)[1])
    yield from grasp(view, block)
    if place == "slider":
        # Along the slope of the cabinet's front: straight up, the wrist would hit the cabinet too early.
        yield from go(view, view.tcp + [0.0, 0.0, 0.006], gripper=CLOSED, speed=0.6)
        yield from go(view, view.tcp + 0.16 * CABINET_OUT, gripper=CLOSED, speed=0.6)
        return
    rise = 0.07 if place == "table" else 0.12
    yield from go(view, view.tcp + [0.0, 0.0, rise], gripper=CLOSED, speed=0.6)


def rotate(view: View, block: str, sign: int) -> Motion:
    """Grasps the block and turns it by 72 degrees, just above the table."""
    turn = sign * np.deg2rad(72)

    def cost(candidate: tuple[float, float]) -> float:
        yaw, width = candidate
        return max(abs(yaw - FRONT_YAW), float(abs(yaw + turn - FRONT_YAW))) + (0.0 if width < 0.05 else 0.2)

    yaws = grasp_yaws(view, block)
    if not yaws:
        return
    yaw = min(yaws, key=cost)[0]
    yield from grasp(view, block, lean=0.0, yaw=yaw)
    yield from go(view, view.tcp + [0.0, 0.0, 0.012], gripper=CLOSED, speed=0.5)
    above = view.tcp
    yield from go(view, above, tool_rotation(yaw + turn), CLOSED, max_steps=60)
    yield from go(view, above - [0.0, 0.0, 0.007], gripper=CLOSED, speed=0.4)
    yield from hold(view, OPEN, 8)


def _free_y(view: View, block: str, x: float) -> float:
    """The y at which a block has most room on the table, for a given x. It prefers the middle."""
    neighbours = [view.position(other)[:2] for other in view.others(block) if view.position(other)[2] > 0.43]

    x_extent, y_extent = view.extent(block, 0), view.extent(block, 1)
    button_x, button_y, _ = BUTTON_TOP

    def room(y: float) -> float:
        spot = np.array([x, y])
        gaps = [float(np.linalg.norm(spot - at)) for at in neighbours]
        gaps.append(max(abs(x - button_x) - x_extent, abs(y - button_y) - y_extent) - 0.01)
        # The door's handle is in front of the cabinet. Blocks near it are hard to grasp and to put down.
        behind = max(0.0, y + y_extent + 0.03)
        return min(*gaps, 0.11) - 0.02 * abs(y + 0.12) - behind

    return max((-0.12, -0.105, -0.09, -0.075, -0.06, -0.045, -0.035, -0.145), key=room)


def push(view: View, block: str, sign: int) -> Motion:
    """Carries the block 11 cm sideways, as low as the neighbours allow, and sets it down."""
    start = view.position(block)
    x = start[0] + sign * 0.112
    # Leaning brings the wrist nearer to the arm's base, for blocks at the back and at the table's far end.
    yield from grasp(view, block, lean=0.4 if x < 0.4 else 0.7)
    y = _free_y(view, block, x)
    table_height = view.tcp[2]
    low, high = sorted((start[0], x))
    neighbours = [view.position(other) for other in view.others(block)]
    is_blocked = any(
        at[2] > 0.43 and low - 0.07 < at[0] < high + 0.07 and abs(at[1] - start[1]) < 0.075 for at in neighbours
    ) or (low - 0.05 < BUTTON_TOP[0] < high + 0.05 and abs(start[1] - BUTTON_TOP[1]) < 0.07)
    yield from go(view, view.tcp + [0.0, 0.0, 0.075 if is_blocked else 0.014], gripper=CLOSED, speed=0.6)
    block_from_tool = view.position(block) - view.tcp
    above = np.array([x - block_from_tool[0], y - block_from_tool[1], view.tcp[2]])
    yield from go(view, above, gripper=CLOSED, speed=0.7)
    yield from go(view, np.array([*above[:2], table_height + 0.009]), gripper=CLOSED, speed=0.5)
    yield from hold(view, OPEN, 8)


def place_in_slider(view: View, attempt: int) -> Motion:
    """Puts the held block into the open part of the cabinet, where it has most room; next time, elsewhere."""
    block = view.held()
    if block is None:
        return
    at = view.position(block)
    if attempt > 0 and view.is_before_cabinet():
        yield from retreat(view, CLOSED)
    elif view.place(block) == "slider" and view.depth_outside_cabinet(at) < 0.02:
        yield from put(view, block, np.array([at[0], at[1], 0.462]), [], drop=0.003)
        return
    # The gripper needs 10 cm to each side. The door limits it more than the cabinet's walls, which are farther back.
    low, high = (-0.305, -0.19 - view.slider) if view.slider < 0.14 else (0.27 - view.slider, 0.10)
    if high < low:
        low = high = (low + high) / 2
    neighbours = [view.position(other)[0] for other in view.others(block) if view.place(other) == "slider"]

    def room(x: float) -> float:
        return float(min([abs(x - other) for other in neighbours] + [0.12])) - 0.1 * abs(x - (low + high) / 2)

    x = sorted(np.linspace(low, high, 9), key=room, reverse=True)[attempt * 3 % 9]
    # Pass in front of the door's handle.
    before_handle = [np.array([at[0], -0.09, max(at[2], 0.54)])] if at[1] > -0.08 else []
    via = [*before_handle, np.array([x, -0.09, 0.57]), np.array([x, 0.0, 0.525])]
    yield from put(view, block, np.array([x, 0.078, 0.462]), via)


def place_in_drawer(view: View) -> Motion:
    """Puts the held block into the open part of the drawer, where it has most room."""
    block = view.held()
    if block is None:
        return
    if view.is_before_cabinet():
        yield from retreat(view, CLOSED)
    y = float(np.clip((max(-0.105 - view.drawer, -0.36) - 0.215) / 2, -0.30, -0.215))
    neighbours = [view.position(other)[0] for other in view.others(block) if view.place(other) == "drawer"]

    def room(x: float) -> float:
        return float(min([abs(x - other) for other in neighbours] + [0.1])) - 0.05 * abs(x - DRAWER_X)

    x = max(np.linspace(0.07, 0.29, 9), key=room)
    via = [np.array([x, y, 0.54]), np.array([x, y, 0.47])]
    yield from put(view, block, np.array([x, y, 0.368]), via, drop=0.01)


def stack(view: View, attempt: int) -> Motion:
    """Puts the held block on another one, with parallel faces. It prefers a big block within easy reach.

    A further attempt grasps the uppermost block again and tries the next base, a little farther from the cabinet.
    """
    if view.held() is None:
        top = max(view.blocks, key=lambda name: view.position(name)[2] - 0.1 * (view.place(name) != "table"))
        yield from grasp(view, top, lean=0.3)
        yield from go(view, view.tcp + [0.0, 0.0, 0.07], gripper=CLOSED, speed=0.6)
    block = view.held()
    if block is None:
        return
    if view.is_before_cabinet():
        yield from retreat(view, CLOSED)
    others = view.others(block)
    on_table = [other for other in others if view.place(other) == "table"]

    def cost(base: str) -> float:
        x, y, _ = view.position(base)
        return float(abs(y + 0.12) + 0.3 * max(0.0, abs(x - 0.1) - 0.2)) - 0.5 * max(view.block_sizes[base])

    bases = sorted(on_table or others, key=cost)
    base = bases[attempt % len(bases)]
    on_top = view.position(base) + [0.0, -0.012 * (attempt > 0), view.extent(base, 2) + 0.02]
    x, y, _ = view.position(block)
    height = max(on_top[2] + 0.07, 0.55)
    across = [np.array([x, -0.09, height]), np.array([on_top[0], -0.09, height])] if max(y, on_top[1]) > -0.08 else []
    via = [*(across or [np.array([x, y, height])]), on_top + [0.0, 0.0, 0.05]]
    yaw = face_yaw(view.rotation(base))
    yield from put(view, block, on_top, via, drop=0.003, align_yaw=yaw, speed=0.4)
    yield from go(view, view.tcp + [0.0, 0.0, 0.06], speed=0.5)


def unstack(view: View) -> Motion:
    """Takes the upper block and sets it down beside the lower one."""
    stacked = [block for block in view.blocks if view.touches_block(block)]
    if not stacked:
        return
    top = max(stacked, key=lambda block: view.position(block)[2])
    yield from grasp(view, top, lean=0.3, raised=0.004)
    yield from go(view, view.tcp + [0.0, 0.0, 0.07], gripper=CLOSED, speed=0.6)
    x, _, z = view.tcp
    beside = x - 0.12 if x > 0.1 else x + 0.12
    yield from go(view, np.array([beside, -0.08, z]), gripper=CLOSED)
    yield from go(view, np.array([beside, -0.08, 0.47]), gripper=CLOSED, speed=0.6)
    yield from hold(view, OPEN, 8)


def push_into_drawer(view: View, attempt: int) -> Motion:
    """Pushes a block over the table's edge. Carries it if that failed or if the block is too far to the side."""
    yield from open_drawer_for(view, None)
    on_table = [block for block in view.blocks if view.place(block) == "table"]
    if not on_table:
        return
    block = min(on_table, key=lambda name: max(0.0, abs(view.position(name)[0] - DRAWER_X) - 0.13))
    x, y, _ = view.position(block)
    if attempt < 3 and abs(x - DRAWER_X) < 0.14:
        rotation = tool_rotation(tilt=0.25)
        behind = y + view.extent(block, 1) + 0.035
        yield from go(view, np.array([x, min(behind, -0.02), 0.56]), rotation, CLOSED, tolerance=0.02)
        yield from go(view, np.array([x, behind, 0.462]), rotation, CLOSED, speed=0.8)
        yield from go(view, np.array([x, -0.17, 0.462]), rotation, CLOSED, speed=0.35)
        yield from go(view, np.array([x, -0.19, 0.462]), rotation, CLOSED, speed=0.35)
        yield from go(view, np.array([x, -0.15, 0.56]), rotation, CLOSED)
        return
    yield from grasp(view, block)
    yield from go(view, view.tcp + [0.0, 0.0, 0.07], gripper=CLOSED, speed=0.6)
    x = float(np.clip(x, 0.07, 0.29))
    yield from put(view, block, np.array([x, -0.26, 0.37]), [np.array([x, -0.26, 0.5])], drop=0.01)
    yield from retreat(view)
