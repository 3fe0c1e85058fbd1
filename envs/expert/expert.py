"""A scripted expert for all 34 tasks. It reads the world's state and acts by relative actions, as policies do.

Distances are those of CALVIN's scene D, which the embedded scene shares. Each task has a routine of motions. If a
routine ends without success, the expert tries it again until the subtask's steps run out.
"""

from collections.abc import Iterator, Mapping
from itertools import count

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.expert.blocks import (
    lift,
    place_in_drawer,
    place_in_slider,
    push,
    push_into_drawer,
    rotate,
    stack,
    unstack,
)
from calvinbench.envs.expert.fixtures import move_drawer, move_slider, move_switch, press_button
from calvinbench.envs.expert.motion import CLOSED, OPEN, Motion, hold, retreat
from calvinbench.envs.expert.view import View
from calvinbench.envs.names import require_name
from calvinbench.envs.scenes.assets.draw import BLOCK_SIZES
from calvinbench.envs.tasks import TASKS
from calvinbench.envs.world_info import PrivilegedState

EXACT_M = 0.001
NOISY_M = 0.005
"""Tolerances of `Expert`. `EXACT_M` is for actions that are executed as they are, and `NOISY_M` for actions to which
noise of 3 to 4 mm a step is added."""
_PAUSE_STEPS = 4
_HELD_TASKS = ("place_in_slider", "place_in_drawer", "stack_block")
"""Tasks that begin with a block in the gripper."""
_FREE_HAND_TASKS = ("open_", "close_", "move_", "turn_")
"""Tasks for which an empty gripper need not open first."""


class Expert:
    """Works on one task at a time, in one world. It begins anew when the task changes. Make one for each episode."""

    def __init__(
        self,
        block_sizes: Mapping[str, tuple[float, float, float]] = BLOCK_SIZES,
        tolerance_m: float = EXACT_M,
    ) -> None:
        """Makes an expert that has seen nothing.

        Args:
            block_sizes: Edges of the blocks in metres, for worlds that do not give them.
            tolerance_m: How close the target must come to a waypoint, along each axis, before the next motion begins.
                `EXACT_M` suits actions that are executed as they are. With noise on the actions, use `NOISY_M`: noise
                keeps the target from staying within a millimetre, and the expert would wait.

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
            is_solved: Whether the task is solved. The current attempt is then finished and no other one begins. The
                gripper stays where it is; after placing a block it moves away.

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
    """Attempts a task again and again, until it is solved."""
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
            return move_drawer(view, 0.21)
        case ["close", "drawer"]:
            return move_drawer(view, 0.0)
        case ["move", "slider", side]:
            return move_slider(view, 0.27 if side == "left" else 0.01)
        case ["turn", state, "lightbulb"]:
            return move_switch(view, up=state == "on")
        case ["turn", _, "led"]:
            return press_button(view)
        case ["lift", colour, "block", _]:
            return lift(view, f"block_{colour}")
        case ["rotate", colour, "block", side]:
            return rotate(view, f"block_{colour}", 1 if side == "left" else -1)
        case ["push", colour, "block", side]:
            return push(view, f"block_{colour}", -1 if side == "left" else 1)
        case ["push", "into", "drawer"]:
            return push_into_drawer(view, attempt)
        case ["place", "in", "slider"]:
            return place_in_slider(view, attempt)
        case ["place", "in", "drawer"]:
            return place_in_drawer(view)
        case ["stack", "block"]:
            return stack(view, attempt)
        case ["unstack", "block"]:
            return unstack(view)
    raise NotImplementedError(f"the expert has no routine for task '{task}'.")
