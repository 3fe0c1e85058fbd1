"""The scripted expert's routines for the drawer, the sliding door, the switch and the button."""

import numpy as np

from calvinbench.envs.expert.motion import CLOSED, Motion, go, pass_over, retreat, unwind
from calvinbench.envs.expert.view import CABINET_OUT, CABINET_UP, View, tool_rotation

DRAWER_X = 0.18
"""x of the drawer's middle, metres."""
BUTTON_TOP = np.array([-0.12, -0.12, 0.56])
"""A point above the button, metres."""
_SWITCH_ORIGIN = np.array([0.3, 0.0609, 0.4949])


def move_drawer(view: View, goal: float) -> Motion:
    """Puts closed fingers into the handle from above, and pulls or pushes."""
    rotation = tool_rotation()
    y = -0.21 - view.drawer
    yield from go(view, np.array([DRAWER_X, min(view.tcp[1], -0.1), 0.55]), rotation, CLOSED, tolerance=0.03)
    yield from go(view, np.array([DRAWER_X, y, 0.47]), rotation, CLOSED, tolerance=0.02)
    yield from go(view, np.array([DRAWER_X, y, 0.362]), rotation, CLOSED, speed=0.8)
    beyond = -0.03 if goal > 0.1 else 0.03
    end = np.array([DRAWER_X, -0.21 - goal + beyond, 0.362])
    yield from go(view, end, rotation, CLOSED, speed=0.7, settle=10)
    yield from unwind(view)


def move_slider(view: View, goal: float) -> Motion:
    """Pushes the door's handle sideways with closed fingers."""
    handle_x, goal_x = 0.04 - view.slider, 0.04 - goal
    away = 1 if goal > view.slider else -1
    rotation = tool_rotation(tilt=0.3)
    beside = handle_x + away * 0.065
    yield from go(view, np.array([beside, -0.12, 0.60]), rotation, CLOSED, tolerance=0.03)
    yield from go(view, np.array([beside, 0.012, 0.545]), rotation, CLOSED, speed=0.8)
    yield from go(view, np.array([goal_x, 0.012, 0.545]), rotation, CLOSED, speed=0.8, settle=10)
    yield from unwind(view)


def move_switch(view: View, up: bool) -> Motion:
    """Pushes the switch along the cabinet's front: up from below, or down from above."""
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


def press_button(view: View) -> Motion:
    """Presses the button from above with closed fingers."""
    rotation = tool_rotation()
    yield from go(view, BUTTON_TOP, rotation, CLOSED, tolerance=0.015)
    yield from go(view, BUTTON_TOP - [0.0, 0.0, 0.105], rotation, CLOSED, speed=0.5, settle=8)
    yield from go(view, BUTTON_TOP, rotation, CLOSED)


def uncover(view: View, x: float) -> Motion:
    """Moves the sliding door away from a point of the cabinet."""
    left, right = -0.1 - view.slider, 0.18 - view.slider
    if left - 0.1 < x < right + 0.1:
        open_at = 0.28 if x > -0.1 else 0.0
        if abs(view.slider - open_at) > 0.01:
            yield from move_slider(view, 0.29 if open_at > 0.1 else -0.01)
            yield from retreat(view)


def open_drawer_for(view: View, y: float | None) -> Motion:
    """Opens the drawer if it hides a point. Without a point, opens it unless it is open already.

    A subtask ends at its threshold, so an opened drawer is only half open.
    """
    hides = view.drawer < 0.10 if y is None else y > -0.215
    if view.drawer < 0.2 and hides:
        yield from move_drawer(view, 0.22)
        yield from retreat(view)
