"""Chains for the fake play table, and policies and worlds without torch that solve them, fail or raise errors.

Worker processes import this module too, as `support.fakes`.
"""

import ctypes
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from calvinbench.envs.chains import Chain, initial_states
from calvinbench.envs.fake_play_table import FakePlayTable
from calvinbench.envs.observation import ActionConvention, Observation
from calvinbench.harness.rollout import time_limit
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.policies.batch import put_rows
from calvinbench.policies.policy import Decision, Memory, PolicyTraits

DARK = initial_states()[0]
"""Led and bulb off, slider right, drawer closed."""
CHAINS = (
    Chain(DARK, ("move_slider_left", "open_drawer", "turn_on_lightbulb", "turn_on_led", "close_drawer")),
    Chain(DARK, ("open_drawer", "rotate_red_block_left", "turn_on_led", "close_drawer", "turn_on_lightbulb")),
    Chain(DARK, ("turn_on_led", "turn_off_led", "turn_on_lightbulb", "push_into_drawer", "turn_on_led")),
    Chain(DARK, ("stack_block", "turn_off_led", "turn_on_lightbulb", "move_slider_left", "turn_on_led")),
    Chain(DARK, ("turn_on_lightbulb", "turn_off_lightbulb", "turn_on_led", "turn_off_led", "open_drawer")),
    Chain(DARK, ("turn_on_led", "open_drawer", "move_slider_left", "stack_block", "turn_off_led")),
)
SOLVER_COMPLETES = [5, 1, 3, 0, 5, 3]
"""How many subtasks of each chain `solver` completes: it cannot move blocks."""
_AXES = {
    "move_slider_left": (0, 1.0),
    "move_slider_right": (0, -1.0),
    "open_drawer": (1, 1.0),
    "close_drawer": (1, -1.0),
    "turn_on_lightbulb": (2, 1.0),
    "turn_off_lightbulb": (2, -1.0),
    "turn_on_led": (3, 1.0),
    "turn_off_led": (3, -1.0),
}


def make_fake_world(settings: RunSettings | None, traits: PolicyTraits) -> FakePlayTable:
    return FakePlayTable(cameras=traits.cameras)


class Solver:
    """Solves what the fake world supports, after a pause drawn from its seed, so that records depend on the seed."""

    traits = PolicyTraits(label="solver", privileged=True)

    def initial_state(self, batch_size, seeds=None):
        return tuple(np.random.default_rng(seed).integers(0, 3) for seed in seeds)

    def reset_state(self, state, rows):
        return state

    def act(self, observations: Observation, instructions: Sequence[str], state, privileged=None) -> Decision:
        actions = np.zeros((1, 7))
        actions[0, -1] = 1.0
        if state[0] > 0:
            return Decision(actions, (state[0] - 1,))
        axis, sign = _AXES.get(privileged[0].task, (5, 1.0))
        actions[0, axis] = sign
        return Decision(actions, state)


class Idle(Solver):
    """Does nothing."""

    traits = PolicyTraits(label="idle")

    def act(self, observations, instructions, state, privileged=None):
        assert privileged is None
        return Decision(np.zeros((1, 7)), state)


class Bad(Solver):
    """Solves, but in every second chain it calls `bad_action` at its fourth step, which may raise an error."""

    def __init__(self, bad_action):
        self._bad_action = bad_action
        self._num_chains = 0
        self._num_steps = 0

    def initial_state(self, batch_size, seeds=None):
        self._num_chains += 1
        self._num_steps = 0
        return super().initial_state(batch_size, seeds)

    def act(self, observations, instructions, state, privileged=None):
        self._num_steps += 1
        if self._num_chains % 2 == 0 and self._num_steps == 4:
            return Decision(self._bad_action(), state)
        return super().act(observations, instructions, state, privileged)


class Reader(Idle):
    """Does nothing, with traits of your choice."""

    def __init__(self, **traits):
        self.traits = replace(PolicyTraits(label="reader"), **traits)


class Forgetful(Idle):
    """Solves, and counts how often its memory is cleared."""

    def __init__(self, reset):
        self.traits = PolicyTraits(label="forgetful", memory=Memory(span="unbounded", reset=reset), privileged=True)
        self.num_resets = 0

    def reset_state(self, state, rows):
        self.num_resets += int(rows.sum())
        return state

    act = Solver.act


class Slow(Solver):
    """Solves slowly, so that a test has time to kill it."""

    def act(self, observations, instructions, state, privileged=None):
        time.sleep(0.01)
        return super().act(observations, instructions, state, privileged)


class Killer(Solver):
    """Kills its process at the task `stack_block`: always, or only if a file does not exist, which it then makes."""

    def __init__(self, once_marker: str | None = None):
        self._marker = Path(once_marker) if once_marker else None

    def act(self, observations, instructions, state, privileged=None):
        if privileged[0].task == "stack_block" and not (self._marker and self._marker.exists()):
            if self._marker:
                self._marker.touch()
            os._exit(7)
        return super().act(observations, instructions, state, privileged)


class Crowded:
    """The solver for several worlds at once. At the task `troubled` it calls `trouble`, which affects all rows."""

    def __init__(self, reset="subtask", trouble=None, troubled="stack_block", keys=()):
        memory = Memory(span="unbounded", reset=reset)
        self.traits = PolicyTraits(label="crowded", memory=memory, privileged=True, observation_keys=keys)
        self._trouble, self._troubled = trouble, troubled
        self.batch_sizes, self.num_forgotten, self.expected = set(), 0, []

    def initial_state(self, batch_size, seeds=None):
        return tuple(int(np.random.default_rng(seed).integers(0, 3)) for seed in seeds)

    def reset_state(self, state, rows):
        self.num_forgotten += int(rows.sum())
        return state

    def put_state(self, state, rows, part):
        return put_rows(state, rows, part)

    def expect(self, instructions):
        self.expected = list(instructions)

    def act(self, observations: Observation, instructions: Sequence[str], state, privileged=None) -> Decision:
        self.batch_sizes.add(len(instructions))
        actions = np.zeros((len(state), 7))
        actions[:, -1] = 1.0
        for row, (pause, truth) in enumerate(zip(state, privileged, strict=True)):
            if pause > 0:
                continue
            axis, sign = _AXES.get(truth.task, (5, 1.0))
            actions[row, axis] = sign
            if self.traits.observation_keys:  # the action depends on the images of its own row
                actions[row, 4] = observations.rgb_static[row].astype(float).mean() / 255
        for row, truth in enumerate(privileged):
            if truth.task == self._troubled and self._trouble:
                actions = self._trouble(actions, row)
        return Decision(actions, tuple(max(0, pause - 1) for pause in state))


def _raise_for_row(actions, row):
    raise RuntimeError("the arm fell off")


def _exit_for_row(actions, row):
    os._exit(7)


def _nan_in_row(actions, row):
    actions[row, 0] = np.nan
    return actions


class DeadlyTable(FakePlayTable):
    """Kills its process when the action turns the fifth axis, as the solver does for tasks that it cannot solve."""

    marker: Path | None = None

    def step(self, action):
        if action[5] != 0 and not (self.marker and self.marker.exists()):
            if self.marker:
                self.marker.touch()
            os._exit(7)
        return super().step(action)


def make_deadly_world(settings: RunSettings, traits: PolicyTraits) -> FakePlayTable:
    """The policy's spec names the marker file after a colon."""
    world = DeadlyTable(cameras=traits.cameras)
    marker = settings.policy.partition(":")[2]
    world.marker = Path(marker) if marker else None
    return world


class BrokenTable(FakePlayTable):
    """Raises an error where `DeadlyTable` dies, and at every call after that."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self._is_broken = False

    def reset(self, **settings):
        if self._is_broken:
            raise RuntimeError("still broken")
        return super().reset(**settings)

    def step(self, action):
        self._is_broken = self._is_broken or action[5] != 0
        if self._is_broken:
            raise RuntimeError("the table broke")
        return super().step(action)


def make_broken_world(settings: RunSettings, traits: PolicyTraits) -> FakePlayTable:
    return BrokenTable(cameras=traits.cameras)


class FalteringTable(FakePlayTable):
    """Raises an error where `DeadlyTable` dies if a file does not exist. Then it makes the file."""

    marker: Path

    def step(self, action):
        if action[5] != 0 and not self.marker.exists():
            self.marker.touch()
            raise RuntimeError("the table faltered")
        return super().step(action)


def make_faltering_world(settings: RunSettings, traits: PolicyTraits) -> FakePlayTable:
    """The policy's spec names the marker file after a colon."""
    world = FalteringTable(cameras=traits.cameras)
    world.marker = Path(settings.policy.partition(":")[2])
    return world


class HangingTable(FakePlayTable):
    """Hangs where `DeadlyTable` dies: in Python, or in C code that keeps the interpreter's lock."""

    is_native = False

    def step(self, action):
        if action[5] != 0:
            _wait_in_c() if self.is_native else _wait_in_python()
        return super().step(action)


def make_hanging_world(settings: RunSettings, traits: PolicyTraits) -> FakePlayTable:
    return HangingTable(cameras=traits.cameras)


def make_natively_hanging_world(settings: RunSettings, traits: PolicyTraits) -> FakePlayTable:
    _shorten_grace_in_workers()
    world = HangingTable(cameras=traits.cameras)
    world.is_native = True
    return world


class Hanging(Solver):
    """Hangs at the first step of `stack_block`: in Python, or in C code that keeps the interpreter's lock."""

    def __init__(self, wait):
        self._wait = wait

    def act(self, observations, instructions, state, privileged=None):
        if privileged[0].task == "stack_block":
            self._wait()
        return super().act(observations, instructions, state, privileged)


class NativelyHanging(Hanging):
    """Hangs in C code. A worker's process that runs it is ended after one second more, so that tests are quick."""

    def __init__(self):
        super().__init__(_wait_in_c)
        _shorten_grace_in_workers()


def _shorten_grace_in_workers():
    ray = sys.modules.get("ray")
    is_actor = ray is not None and ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None
    if is_actor or multiprocessing.parent_process() is not None:
        time_limit.GRACE_SECONDS = 1.0


def _wait_in_python():
    time.sleep(60)


def _wait_in_c():
    """Waits for a lock that it holds itself, with the interpreter's lock, so that no other Python code runs."""
    library, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
    library.pthread_mutex_init(mutex, None)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


def _pause_for_row(actions, row):
    time.sleep(0.01)
    return actions


def _wait_for_row(actions, row):
    time.sleep(60)
    return actions


def _raise():
    raise RuntimeError("the arm fell off")


def _raise_where_on_a_cluster():
    import ray

    here = ray.get_runtime_context()
    raise RuntimeError(f"in {os.getpid()} on {here.get_node_id()} with GPUs {here.get_accelerator_ids()['GPU']}")


def make_scripted(spec: str, memory_reset: str | None):
    kind, _, argument = spec.partition(":")
    return {
        "solver": Solver,
        "idle": Idle,
        "slow": Slow,
        "raises": lambda: Bad(_raise),
        "placed": lambda: Hanging(_raise_where_on_a_cluster),
        "nan": lambda: Bad(lambda: np.full((1, 7), np.nan)),
        "shape": lambda: Bad(lambda: np.zeros(7)),
        "joints": lambda: Reader(action_convention=ActionConvention.ABS_JOINTS),
        "depth": lambda: Reader(observation_keys=("depth_static",)),
        "looks": lambda: Reader(observation_keys=("rgb_static",)),
        "forgetful": lambda: Forgetful(memory_reset or "subtask"),
        "killer": lambda: Killer(argument or None),
        "crowded": lambda: Crowded(memory_reset or "subtask"),
        "crowded-looks": lambda: Crowded(keys=("rgb_static", "robot_obs")),
        "crowded-raises": lambda: Crowded(trouble=_raise_for_row),
        "hangs": lambda: Hanging(_wait_in_python),
        "hangs-native": NativelyHanging,
        "crowded-slow": lambda: Crowded(trouble=_pause_for_row),
        "crowded-hangs": lambda: Crowded(trouble=_wait_for_row),
        "crowded-kills": lambda: Crowded(trouble=_exit_for_row),
        "crowded-nan": lambda: Crowded(trouble=_nan_in_row),
        "crowded-shape": lambda: Crowded(trouble=lambda actions, row: actions[:, :6]),
    }[kind]()
