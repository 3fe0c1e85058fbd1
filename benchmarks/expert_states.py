"""States in which a task can begin, as a recorder of demonstrations would meet them.

Fixtures and blocks are drawn. States that cannot be drawn (a block in the gripper, on another block, in the drawer) are
reached by the expert, with tasks that lead there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from calvinbench.envs.chain_env import MAX_SUBTASK_STEPS
from calvinbench.envs.chains import SymbolicState
from calvinbench.envs.expert.expert import Expert
from calvinbench.envs.lead_ins import lead_ins
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.tasks import is_solved
from calvinbench.envs.world_info import WorldInfo, as_world_info, privileged_state

_SETTLING_STEPS = 4
"""A block that was just put on a surface touches it only after this many steps."""

Action = np.ndarray
Execute = Callable[[Action], Action]
"""Turns the expert's action into the action for the world."""


@dataclass(slots=True)
class Moment:
    """What the world returned last."""

    observation: Mapping[str, np.ndarray]
    info: Mapping[str, Any]

    @property
    def world(self) -> WorldInfo:
        """The privileged state."""
        return as_world_info(self.info)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The expert's result in a task. `steps` is None if it ran out of them."""

    steps: int | None
    start: WorldInfo
    end: Moment


def as_executed(action: Action) -> Action:
    """The action, unchanged."""
    return action


class Noise:
    """Adds AR(1) noise to the six numbers of a pose, as a recorder does."""

    def __init__(self, generator: np.random.Generator, sigma: float, coefficient: float = 0.8) -> None:
        """Begins without noise. `sigma` is the deviation that the noise approaches, in the action's unit."""
        self._generator, self._coefficient = generator, coefficient
        self._innovation = sigma * float(np.sqrt(1 - coefficient**2))
        self._now = np.zeros(6)

    def __call__(self, action: Action) -> Action:
        """The action with noise, inside [-1, 1]."""
        self._now = self._coefficient * self._now + self._innovation * self._generator.standard_normal(6)
        return np.concatenate([np.clip(action[:6] + self._now, -1.0, 1.0), action[6:]])


def attempt(env: PlayTableEnv, begin: Moment, task: str, expert: Expert, execute: Execute = as_executed) -> Attempt:
    """Runs the expert on a task until it is solved or the subtask's steps are over.

    Raises:
        RuntimeError: An action was outside [-1, 1].
    """
    now, start = begin, begin.world
    for step in range(1, MAX_SUBTASK_STEPS + 1):
        action = expert.act(privileged_state(now.observation, {**now.info, "task": task}))
        if np.abs(action).max() > 1.0:
            raise RuntimeError(f"expected actions inside [-1, 1], but the expert gave {action.tolist()} for '{task}'.")
        observation, _, _, _, info = env.step(execute(action))
        now = Moment(observation, info)
        if is_solved(task, start, now.world):
            return Attempt(step, start, now)
    return Attempt(None, start, now)


def draw(env: PlayTableEnv, task: str, generator: np.random.Generator) -> tuple[Moment, list[str]] | None:
    """A world in which a task can begin, and the tasks that led there; None if this draw led to none."""
    observation, info = env.reset(seed=int(generator.integers(2**31)))
    for _ in range(_SETTLING_STEPS):
        observation, _, _, _, info = env.step(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
    now = Moment(observation, info)
    ways = list(lead_ins(_symbolic(now), task))
    if not ways:
        return None
    lead_in = ways[generator.integers(len(ways))]
    for earlier in lead_in:
        done = attempt(env, now, earlier, Expert())
        if done.steps is None:
            return None
        now = done.end
    return now, list(lead_in)


def _symbolic(now: Moment) -> SymbolicState:
    """The symbolic state of a world that was just drawn."""
    slider, drawer, _, _, bulb, led = now.observation["scene_obs"][:6]
    state: dict[str, int | str] = {
        "led": int(led),
        "lightbulb": int(bulb),
        "slider": "left" if slider > 0.14 else "right",
        "drawer": "open" if drawer > 0.11 else "closed",
    }
    for block, truth in now.world.blocks.items():
        x, y, _ = truth.position
        place = "table" if y < 0.03 else "slider_left" if x < -0.1 else "slider_right"
        state[f"{block.removeprefix('block_')}_block"] = place
    return state | {"grasped": 0}
