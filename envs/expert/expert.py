"""A scripted expert for all 34 tasks: it reads the world's state, and acts by the policy's own relative actions.

Geometry is that of CALVIN's scene D, which the embedded scene shares. Every task is a routine of motions; a routine
that ends without success is tried again until the subtask's clock runs out.
"""

from collections.abc import Iterator, Mapping
from itertools import count

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.expert.grasp import grasp, grasp_yaws, put
from calvinbench.envs.expert.motion import CLOSED, OPEN, Motion, go, hold, pass_over, retreat, unwind
from calvinbench.envs.expert.view import CABINET_OUT, CABINET_UP, FRONT_YAW, View, face_yaw, tool_rotation
from calvinbench.envs.names import require_name
from calvinbench.envs.scenes.assets.draw import BLOCK_SIZES
from calvinbench.envs.tasks import TASKS
from calvinbench.envs.world_info import PrivilegedState

EXACT_M = 0.001
NOISY_M = 0.005
"""Tolerances of `Expert`: where actions are executed as they are, and where noise of 3 to 4 mm a step is added."""
_PAUSE_STEPS = 4
_SWITCH_ORIGIN = np.array([0.3, 0.0609, 0.4949])
_BUTTON_TOP = np.array([-0.12, -0.12, 0.56])
_DRAWER_X = 0.18
_HELD_TASKS = ("place_in_slider", "place_in_drawer", "stack_block")
"""Tasks that begin with a block in the hand."""
_FREE_HAND_TASKS = ("open_", "close_", "move_", "turn_")
"""Tasks that need no opening of the hand first, if it is empty."""


class Expert:
    """Works on one task at a time, in one world; begins anew when the task changes. Make one for each episode."""

    def __init__(
        self,
        block_sizes: Mapping[str, tuple[float, float, float]] = BLOCK_SIZES,
        tolerance_m: float = EXACT_M,
    ) -> None:
        """Makes an expert that has seen nothing.

        Args:
            block_sizes: Edges of the blocks where the world does not tell them, metres.
            tolerance_m: How close to a waypoint, along each axis, the target must come before the next one is begun.
                `EXACT_M` suits actions that are executed as they are. Where noise is added to them, take
                `NOISY_M`: a target that is shaken never stays within a millimetre, and the expert would wait.

        Raises:
            ValueError: The tolerance is not above 0.
        """
        if not tolerance_m > 0.0:
            raise ValueError(f"expected a tolerance above 0 metres, got {tolerance_m}.")
        self._block_sizes = block_sizes
        self._tolerance_m = tolerance_m
        self._task: str | None = None
        self._view: View | None = None
        self._actions: Iterator[Float64[np.ndarray, "7"]] = iter(())

    def act(self, state: PrivilegedState, is_solved: bool = False) -> Float64[np.ndarray, "7"]:
        """The next relative action, inside [-1, 1].

        Args:
            state: What is true now.
            is_solved: Whether the task is solved already: the attempt is brought to its end then and no other one is
                begun; the hand stays where it is, or, having placed a block, leaves it.

        Raises:
            UnknownNameError: The state's task does not exist.
        """
        if self._view is None or state.task != self._task:
            self._task = require_name(state.task, TASKS, "task")
            sizes = state.block_sizes or {}
            block_sizes = {name: tuple(size.tolist()) for name, size in sizes.items()} or self._block_sizes
            self._view = View(state, block_sizes, self._tolerance_m)
            self._actions = _work(self._view, state.task)
        self._view.state = state
        self._view.is_solved = is_solved
        return np.asarray(np.clip(next(self._actions), -1.0, 1.0))


def _work(view: View, task: str) -> Motion:
    """Attempts a task again and again, until it is known to be solved."""
    for attempt in count():
        if not (task in _HELD_TASKS and view.held()):
            if task.startswith(_FREE_HAND_TASKS) and view.held() is None:
                yield from retreat(view, view.gripper)
            else:
                if view.gripper == CLOSED:
                    yield from hold(view, OPEN, 5)
                yield from retreat(view)
        yield from _routine(view, task, attempt)
        if not view.is_solved:
            yield from hold(view, view.gripper, _PAUSE_STEPS)
        if view.is_solved:
            if task in _HELD_TASKS:
                yield from retreat(view)
            yield from hold(view, view.gripper, None)


def _routine(view: View, task: str, attempt: int) -> Motion:  # noqa: C901, PLR0911, PLR0912  (a table of tasks)
    """One attempt at a task."""
    words = task.split("_")
    match words:
        case ["open", "drawer"]:
            return _move_drawer(view, 0.21)
        case ["close", "drawer"]:
            return _move_drawer(view, 0.0)
        case ["move", "slider", side]:
            return _move_slider(view, 0.27 if side == "left" else 0.01)
        case ["turn", state, "lightbulb"]:
            return _move_switch(view, up=state == "on")
        case ["turn", _, "led"]:
            return _press_button(view)
        case ["lift", colour, "block", _]:
            return _lift(view, f"block_{colour}")
        case ["rotate", colour, "block", side]:
            return _rotate(view, f"block_{colour}", 1 if side == "left" else -1)
        case ["push", colour, "block", side]:
            return _push(view, f"block_{colour}", -1 if side == "left" else 1)
        case ["push", "into", "drawer"]:
            return _push_into_drawer(view, attempt)
        case ["place", "in", "slider"]:
            return _place_in_slider(view, attempt)
        case ["place", "in", "drawer"]:
            return _place_in_drawer(view)
        case ["stack", "block"]:
            return _stack(view, attempt)
        case ["unstack", "block"]:
            return _unstack(view)
    raise NotImplementedError(f"the expert has no routine for task '{task}'.")


def _move_drawer(view: View, goal: float) -> Motion:
    """Hooks the handle from above with closed fingers, and pulls or pushes."""
    rotation = tool_rotation()
    y = -0.21 - view.drawer
    yield from go(view, np.array([_DRAWER_X, min(view.tcp[1], -0.1), 0.55]), rotation, CLOSED, tolerance=0.03)
    yield from go(view, np.array([_DRAWER_X, y, 0.47]), rotation, CLOSED, tolerance=0.02)
    yield from go(view, np.array([_DRAWER_X, y, 0.362]), rotation, CLOSED, speed=0.8)
    beyond = -0.03 if goal > 0.1 else 0.03
    end = np.array([_DRAWER_X, -0.21 - goal + beyond, 0.362])
    yield from go(view, end, rotation, CLOSED, speed=0.7, settle=10)
    yield from unwind(view)


def _move_slider(view: View, goal: float) -> Motion:
    """Pushes the door's handle sideways with closed fingers."""
    handle_x, goal_x = 0.04 - view.slider, 0.04 - goal
    away = 1 if goal > view.slider else -1
    rotation = tool_rotation(tilt=0.3)
    beside = handle_x + away * 0.065
    yield from go(view, np.array([beside, -0.12, 0.60]), rotation, CLOSED, tolerance=0.03)
    yield from go(view, np.array([beside, 0.012, 0.545]), rotation, CLOSED, speed=0.8)
    yield from go(view, np.array([goal_x, 0.012, 0.545]), rotation, CLOSED, speed=0.8, settle=10)
    yield from unwind(view)


def _move_switch(view: View, up: bool) -> Motion:
    """Pushes the switch up from below or down from above, along the cabinet's front."""
    if up:
        rotation = tool_rotation(tilt=0.95)
        start = _SWITCH_ORIGIN + CABINET_UP * (view.switch - 0.045) + CABINET_OUT * 0.042
        end = _SWITCH_ORIGIN + CABINET_UP * 0.088 + CABINET_OUT * 0.042
        yield from pass_over(view, start + CABINET_OUT * 0.12, rotation, CLOSED)
    else:
        rotation = tool_rotation(tilt=0.35)
        start = _SWITCH_ORIGIN + CABINET_UP * (view.switch + 0.055) + CABINET_OUT * 0.05
        end = _SWITCH_ORIGIN + CABINET_OUT * 0.05
        yield from pass_over(view, start + np.array([0.0, -0.10, 0.08]), rotation, CLOSED, height=0.68)
    yield from go(view, start, rotation, CLOSED, speed=0.8)
    yield from go(view, end, rotation, CLOSED, speed=0.5, settle=10)
    yield from unwind(view)


def _press_button(view: View) -> Motion:
    rotation = tool_rotation()
    yield from go(view, _BUTTON_TOP, rotation, CLOSED, tolerance=0.015)
    yield from go(view, _BUTTON_TOP - [0.0, 0.0, 0.105], rotation, CLOSED, speed=0.5, settle=8)
    yield from go(view, _BUTTON_TOP, rotation, CLOSED)


def _uncover(view: View, x: float) -> Motion:
    """Moves the sliding door away from a point of the cabinet."""
    left, right = -0.1 - view.slider, 0.18 - view.slider
    if left - 0.1 < x < right + 0.1:
        open_at = 0.28 if x > -0.1 else 0.0
        if abs(view.slider - open_at) > 0.01:
            yield from _move_slider(view, 0.29 if open_at > 0.1 else -0.01)
            yield from retreat(view)


def _open_drawer_for(view: View, y: float | None) -> Motion:
    """Opens the drawer farther where it hides a point, or at all where no point is given.

    Subtasks end at their thresholds, so that a drawer that was opened stands half open.
    """
    hides = view.drawer < 0.10 if y is None else y > -0.215
    if view.drawer < 0.2 and hides:
        yield from _move_drawer(view, 0.22)
        yield from retreat(view)


def _lift(view: View, block: str) -> Motion:
    place = view.place(block)
    if place == "slider":
        yield from _uncover(view, view.position(block)[0])
    if place == "drawer":
        yield from _open_drawer_for(view, view.position(block)[1])
    yield from grasp(view, block)
    if place == "slider":
        # Along the front's slope at once: straight up, the wrist meets the cabinet before the block has risen enough.
        yield from go(view, view.tcp + [0.0, 0.0, 0.006], gripper=CLOSED, speed=0.6)
        yield from go(view, view.tcp + 0.16 * CABINET_OUT, gripper=CLOSED, speed=0.6)
        return
    rise = 0.07 if place == "table" else 0.12
    yield from go(view, view.tcp + [0.0, 0.0, rise], gripper=CLOSED, speed=0.6)


def _rotate(view: View, block: str, sign: int) -> Motion:
    """Turns the block by 72 degrees in the hand, just above the table."""
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
    """Where on the table at a given x a block has most room, preferring the middle."""
    neighbours = [view.position(other)[:2] for other in view.others(block) if view.position(other)[2] > 0.43]

    x_extent, y_extent = view.extent(block, 0), view.extent(block, 1)
    button_x, button_y, _ = _BUTTON_TOP

    def room(y: float) -> float:
        spot = np.array([x, y])
        gaps = [float(np.linalg.norm(spot - at)) for at in neighbours]
        gaps.append(max(abs(x - button_x) - x_extent, abs(y - button_y) - y_extent) - 0.01)
        # The door's handle hangs before the cabinet, where blocks are hard to take and to put on.
        behind = max(0.0, y + y_extent + 0.03)
        return min(*gaps, 0.11) - 0.02 * abs(y + 0.12) - behind

    return max((-0.12, -0.105, -0.09, -0.075, -0.06, -0.045, -0.035, -0.145), key=room)


def _push(view: View, block: str, sign: int) -> Motion:
    """Carries the block 11 cm sideways, low where the way is free, and sets it down."""
    start = view.position(block)
    x = start[0] + sign * 0.112
    # Leaning brings the wrist nearer to the arm's foot, for blocks at the back and for the table's far end.
    yield from grasp(view, block, lean=0.4 if x < 0.4 else 0.7)
    y = _free_y(view, block, x)
    table_height = view.tcp[2]
    low, high = sorted((start[0], x))
    neighbours = [view.position(other) for other in view.others(block)]
    is_blocked = any(
        at[2] > 0.43 and low - 0.07 < at[0] < high + 0.07 and abs(at[1] - start[1]) < 0.075 for at in neighbours
    ) or (low - 0.05 < _BUTTON_TOP[0] < high + 0.05 and abs(start[1] - _BUTTON_TOP[1]) < 0.07)
    yield from go(view, view.tcp + [0.0, 0.0, 0.075 if is_blocked else 0.014], gripper=CLOSED, speed=0.6)
    block_from_tool = view.position(block) - view.tcp
    above = np.array([x - block_from_tool[0], y - block_from_tool[1], view.tcp[2]])
    yield from go(view, above, gripper=CLOSED, speed=0.7)
    yield from go(view, np.array([*above[:2], table_height + 0.009]), gripper=CLOSED, speed=0.5)
    yield from hold(view, OPEN, 8)


def _place_in_slider(view: View, attempt: int) -> Motion:
    """Puts the held block where the sliding door leaves most room; where that failed, elsewhere."""
    block = view.held()
    if block is None:
        return
    at = view.position(block)
    if attempt > 0 and view.is_before_cabinet():
        yield from retreat(view, CLOSED)
    elif view.place(block) == "slider" and view.depth_outside_cabinet(at) < 0.02:
        yield from put(view, block, np.array([at[0], at[1], 0.462]), [], drop=0.003)
        return
    # The hand is 10 cm wide to each side, and must clear the door more than the cabinet's walls, which lie deeper.
    low, high = (-0.305, -0.19 - view.slider) if view.slider < 0.14 else (0.27 - view.slider, 0.10)
    if high < low:
        low = high = (low + high) / 2
    neighbours = [view.position(other)[0] for other in view.others(block) if view.place(other) == "slider"]

    def room(x: float) -> float:
        return float(min([abs(x - other) for other in neighbours] + [0.12])) - 0.1 * abs(x - (low + high) / 2)

    x = sorted(np.linspace(low, high, 9), key=room, reverse=True)[attempt * 3 % 9]
    # Across the table it goes in front of the door's handle.
    before_handle = [np.array([at[0], -0.09, max(at[2], 0.54)])] if at[1] > -0.08 else []
    via = [*before_handle, np.array([x, -0.09, 0.57]), np.array([x, 0.0, 0.525])]
    yield from put(view, block, np.array([x, 0.078, 0.462]), via)


def _place_in_drawer(view: View) -> Motion:
    block = view.held()
    if block is None:
        return
    if view.is_before_cabinet():
        yield from retreat(view, CLOSED)
    y = float(np.clip((max(-0.105 - view.drawer, -0.36) - 0.215) / 2, -0.30, -0.215))
    neighbours = [view.position(other)[0] for other in view.others(block) if view.place(other) == "drawer"]

    def room(x: float) -> float:
        return float(min([abs(x - other) for other in neighbours] + [0.1])) - 0.05 * abs(x - _DRAWER_X)

    x = max(np.linspace(0.07, 0.29, 9), key=room)
    via = [np.array([x, y, 0.54]), np.array([x, y, 0.47])]
    yield from put(view, block, np.array([x, y, 0.368]), via, drop=0.01)


def _stack(view: View, attempt: int) -> Motion:
    """Puts the held block on another, aligned with it; a big one within easy reach where there is a choice.

    Where that failed, takes the uppermost block up again, and tries the next, a little farther from the cabinet.
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


def _unstack(view: View) -> Motion:
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


def _push_into_drawer(view: View, attempt: int) -> Motion:
    """Sweeps a block over the table's edge; where sweeping failed or cannot reach, carries it."""
    yield from _open_drawer_for(view, None)
    on_table = [block for block in view.blocks if view.place(block) == "table"]
    if not on_table:
        return
    block = min(on_table, key=lambda name: max(0.0, abs(view.position(name)[0] - _DRAWER_X) - 0.13))
    x, y, _ = view.position(block)
    if attempt < 3 and abs(x - _DRAWER_X) < 0.14:
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
