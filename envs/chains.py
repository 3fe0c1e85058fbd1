"""Chains of subtasks: the initial state of the world and the tasks in order. CALVIN's published 1000 have five each.

The rules are those of `calvin_agent/evaluation/multistep_sequences.py` and `evaluation/utils.py` of mees/calvin at
fa03f01.
"""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.names import require_name
from calvinbench.envs.scenes.scene import Scene, Surface
from calvinbench.envs.tasks import TASKS
from calvinbench.envs.world_info import BLOCKS

CHAIN_LENGTH = 5
"""Subtasks of each of CALVIN's chains. Other chains may have any number."""
PUBLISHED_DIGEST = "90191d9ac76baecb4f292ab766bbbf3ae65dbf43a83bbe5c376d99db10fd6446"
"""SHA-256 of the 1000 published chains, as `digest` computes it."""

SymbolicState = Mapping[str, int | str]
"""The items of an initial state: `led` and `lightbulb` (0 or 1), `slider`, `drawer`, a place for each of `red_block`,
`blue_block` and `pink_block`, and `grasped`."""

_CONDITIONS: Mapping[str, tuple[int | str, ...]] = {
    "led": (0, 1),
    "lightbulb": (0, 1),
    "slider": ("right", "left"),
    "drawer": ("closed", "open"),
    "red_block": ("table", "slider_right", "slider_left"),
    "blue_block": ("table", "slider_right", "slider_left"),
    "pink_block": ("table", "slider_right", "slider_left"),
    "grasped": (0,),
}
_BLOCK_KEYS = ("red_block", "blue_block", "pink_block")
_CABINET = ("slider_right", "slider_left")

SLIDER_LEFT_M = 0.28
DRAWER_OPEN_M = 0.22
SWITCH_ON_M = 0.088
"""Joint positions if the slider is left, the drawer open and the bulb on."""

PLACES: Mapping[str, tuple[float, float, float]] = {
    "slider_left": (-2.40851662e-01, 9.24044687e-02, 4.60990009e-01),
    "slider_right": (7.03416330e-02, 9.24044687e-02, 4.60990009e-01),
}
"""Centres of blocks in the cabinet of scene D, metres."""
TABLE_PLACES = (
    (5.00000896e-02, -1.20000177e-01, 4.59990009e-01),
    (2.29995412e-01, -1.19995140e-01, 4.59990010e-01),
)
"""Centres of blocks on the table of scene D, metres, before they are shuffled among the blocks."""
SCENE_D_SURFACES: Mapping[str, Surface] = {
    "table": Surface((0.0, -0.15, 0.46), (0.35, -0.03, 0.46)),
    "slider_left": Surface((-0.32, 0.05, 0.46), (-0.16, 0.12, 0.46)),
    "slider_right": Surface((-0.05, 0.05, 0.46), (0.13, 0.12, 0.46)),
}
"""Scene D's surfaces (`conf/scene/calvin_scene_D.yaml`), on which the places above lie."""
BLOCK_YAW_RANGE = (np.pi / 2 - np.pi / 8, np.pi / 2 + np.pi / 8)
"""Range of each block's initial yaw, radians."""
INITIAL_ROBOT_OBS = (
    *(0.02586889, -0.2313129, 0.5712808, 3.09045411, -0.02908596, 1.50013585, 0.07999963),
    *(-1.21779124, 1.03987629, 2.11978254, -2.34205014, -0.87015899, 1.64119093, 0.55344928, 1.0),
)
"""`robot_obs` at the start of every chain."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A long-horizon episode.

    Attributes:
        initial_state: The symbolic state in which the world starts, see `SymbolicState`. Read-only.
        subtasks: Task names, in order: five in CALVIN's chains, at least one in others.
        lead_in: Tasks that the expert solves before the first subtask, to reach a state in which it is possible.
    """

    initial_state: SymbolicState
    subtasks: tuple[str, ...]
    lead_in: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.subtasks:
            raise ValueError("expected a chain of at least one subtask, got none.")
        for task in (*self.lead_in, *self.subtasks):
            require_name(task, TASKS, "task")
        object.__setattr__(self, "subtasks", tuple(self.subtasks))
        object.__setattr__(self, "lead_in", tuple(self.lead_in))
        object.__setattr__(self, "initial_state", MappingProxyType(dict(self.initial_state)))

    def __reduce__(self) -> tuple[type["Chain"], tuple[dict[str, int | str], tuple[str, ...], tuple[str, ...]]]:
        return Chain, (dict(self.initial_state), self.subtasks, self.lead_in)


class InitialObservation(NamedTuple):
    """The state that a chain's initial state means for the world: `robot_obs` (15,) and `scene_obs` (24,)."""

    robot_obs: Float64[np.ndarray, "15"]
    scene_obs: Float64[np.ndarray, "24"]


class _Effect(NamedTuple):
    """One way to do a task: what must hold before it, and what holds after it."""

    needs: Mapping[str, int | str | tuple[str, ...]]
    leads_to: Mapping[str, int | str]


def _effects() -> dict[str, tuple[_Effect, ...]]:
    """The symbolic preconditions and effects of the 34 tasks."""
    effects: dict[str, tuple[_Effect, ...]] = {}
    for key in _BLOCK_KEYS:
        colour = key.removesuffix("_block")
        on_table = _Effect({key: "table", "grasped": 0}, {})
        for side in ("right", "left"):
            effects[f"rotate_{colour}_block_{side}"] = (on_table,)
            effects[f"push_{colour}_block_{side}"] = (on_table,)
        lifted: SymbolicState = {key: "grasped", "grasped": 1}
        effects[f"lift_{colour}_block_table"] = (_Effect({key: "table", "grasped": 0}, lifted),)
        effects[f"lift_{colour}_block_slider"] = (
            _Effect({key: "slider_left", "slider": "right", "grasped": 0}, lifted),
            _Effect({key: "slider_right", "slider": "left", "grasped": 0}, lifted),
        )
        effects[f"lift_{colour}_block_drawer"] = (_Effect({key: "drawer", "drawer": "open", "grasped": 0}, lifted),)
    for side, other in (("left", "right"), ("right", "left")):
        effects[f"move_slider_{side}"] = (_Effect({"slider": other, "grasped": 0}, {"slider": side}),)
    for verb, before, after in (("open", "closed", "open"), ("close", "open", "closed")):
        effects[f"{verb}_drawer"] = (_Effect({"drawer": before, "grasped": 0}, {"drawer": after}),)
    effects["place_in_slider"] = tuple(
        _Effect({key: "grasped", "slider": side, "grasped": 1}, {key: f"slider_{side}", "grasped": 0})
        for key in _BLOCK_KEYS
        for side in ("right", "left")
    )
    effects["place_in_drawer"] = tuple(
        _Effect({key: "grasped", "drawer": "open", "grasped": 1}, {key: "drawer", "grasped": 0}) for key in _BLOCK_KEYS
    )
    pairs = [(top, bottom) for top in _BLOCK_KEYS for bottom in _BLOCK_KEYS if top != bottom]
    effects["stack_block"] = tuple(
        _Effect(
            {top: "grasped", bottom: "table", "grasped": 1},
            {top: "stacked_top", bottom: "stacked_bottom", "grasped": 0},
        )
        for top, bottom in pairs
    )
    effects["unstack_block"] = tuple(
        _Effect({top: "stacked_top", bottom: "stacked_bottom", "grasped": 0}, {top: "table", bottom: "table"})
        for top, bottom in pairs
    )
    for light in ("lightbulb", "led"):
        for verb, state in (("on", 1), ("off", 0)):
            effects[f"turn_{verb}_{light}"] = (_Effect({light: 1 - state, "grasped": 0}, {light: state}),)
    effects["push_into_drawer"] = tuple(
        _Effect(
            {
                **{other: _CABINET for other in _BLOCK_KEYS if other != key},
                key: "table",
                "drawer": "open",
                "grasped": 0,
            },
            {key: "drawer", "grasped": 0},
        )
        for key in _BLOCK_KEYS
    )
    return effects


_EFFECTS = _effects()


def _category(task: str) -> str:
    """Tasks by category. A chain has at most one task of each category."""
    verb, *_, last = task.split("_")
    if task == "push_into_drawer":
        return task
    if verb in ("rotate", "push"):
        return "rotate_or_push"
    if verb in ("open", "close"):
        return "drawer"
    return f"lift_{last}" if verb == "lift" else verb


def next_states(state: SymbolicState, task: str) -> list[dict[str, int | str]]:
    """The states that a task can lead to, one for each way to do it whose conditions hold.

    Raises:
        UnknownNameError: There is no such task.
    """
    require_name(task, TASKS, "task")
    return [{**state, **effect.leads_to} for effect in _EFFECTS[task] if _holds(effect.needs, state)]


def _holds(needs: Mapping[str, int | str | tuple[str, ...]], state: SymbolicState) -> bool:
    return all(state[key] in value if isinstance(value, tuple) else state[key] == value for key, value in needs.items())


def is_valid(initial_state: SymbolicState, subtasks: Sequence[str]) -> bool:
    """Whether there is exactly one way to do each subtask when its turn comes, and no category occurs twice."""
    state = initial_state
    for task in subtasks:
        states = next_states(state, task)
        if len(states) != 1:
            return False
        (state,) = states
    return len({_category(task) for task in subtasks}) == len(subtasks)


@cache
def initial_states() -> tuple[SymbolicState, ...]:
    """The 192 initial states: one or two blocks on the table, at most one in each half of the cabinet."""

    def is_possible(state: SymbolicState) -> bool:
        places = [state[key] for key in _BLOCK_KEYS]
        return places.count("table") in (1, 2) and all(places.count(half) < 2 for half in _CABINET)

    states = (dict(zip(_CONDITIONS, values, strict=True)) for values in product(*_CONDITIONS.values()))
    return tuple(MappingProxyType(state) for state in states if is_possible(state))


def generate(num_chains: int) -> tuple[Chain, ...]:
    """Draws chains as CALVIN does. `generate(1000)` gives the published ones, in about half a minute.

    Args:
        num_chains: Number of chains, at least 1. They are spread over the 192 initial states.

    Raises:
        ValueError: `num_chains` is below 1.
    """
    if num_chains < 1:
        raise ValueError(f"expected at least 1 chain, got {num_chains}.")
    states = initial_states()
    shares = [len(share) for share in np.array_split(np.arange(num_chains), len(states))]
    chains = [chain for index, state in enumerate(states) for chain in _draw(state, shares[index], seed=index)]
    order = list(range(num_chains))
    np.random.RandomState(0).shuffle(order)
    return tuple(chains[position] for position in order)


def _draw(state: SymbolicState, num_chains: int, seed: int) -> Iterator[Chain]:
    """Draws five distinct tasks at a time until there are enough valid chains.

    A valid chain takes thousands of draws. So most draws are rejected by a quick test of their numbers.
    """
    generator = np.random.RandomState(seed)
    can_be_first = [len(next_states(state, task)) == 1 for task in TASKS]
    categories = [_category(task) for task in TASKS]
    found = 0
    while found < num_chains:
        # `choice(..., replace=False)` returns the first numbers of a permutation. Taking them directly is faster.
        drawn = generator.permutation(len(TASKS))[:CHAIN_LENGTH].tolist()
        if not can_be_first[drawn[0]] or len({categories[index] for index in drawn}) < CHAIN_LENGTH:
            continue
        subtasks = tuple(TASKS[index] for index in drawn)
        if is_valid(state, subtasks):
            found += 1
            yield Chain(state, subtasks)


def digest(chains: Sequence[Chain]) -> str:
    """SHA-256 of a list of chains in their order: of `[[initial_state, [tasks]], ...]` as compact, sorted JSON.

    A chain with a lead-in has it as a third entry.
    """
    content = [
        [dict(chain.initial_state), list(chain.subtasks), *([list(chain.lead_in)] if chain.lead_in else [])]
        for chain in chains
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@cache
def published() -> tuple[Chain, ...]:
    """The 1000 chains of CALVIN's long-horizon evaluation, in their published order.

    Raises:
        RuntimeError: The shipped file is damaged.
    """
    states = initial_states()
    text = files("calvinbench.envs.data").joinpath("published.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    chains = tuple(
        Chain(states[int(row["initial_state"])], tuple(row[f"subtask_{i + 1}"] for i in range(CHAIN_LENGTH)))
        for row in rows
    )
    if digest(chains) != PUBLISHED_DIGEST:
        raise RuntimeError(
            f"expected the published chains with SHA-256 {PUBLISHED_DIGEST}, but the installed published.csv gives "
            f"{digest(chains)}. The installation is damaged: install calvinbench again."
        )
    return chains


def initial_observation(initial_state: SymbolicState, scene: Scene | None = None) -> InitialObservation:
    """The `robot_obs` and `scene_obs` that CALVIN sets for an initial state.

    CALVIN evaluates only in scene D. In A, B and C, a block is put on the surface of the same name, at the same
    fraction of its length and width as in scene D. The states `left`, `open` and `on` mean the upper limits of the
    scene's joints.

    Args:
        initial_state: One of `initial_states()`. The order of its keys does not matter.
        scene: The scene, for the blocks' places; None, the embedded scene and scene D have scene D's places.

    Raises:
        ValueError: Keys are missing, a value does not exist, or blocks would overlap.
    """
    state = _canonical(initial_state)
    # CALVIN hashes the values as text, with their types: 1 and True would give different blocks.
    generator = np.random.RandomState(_fnv1_32(str(state.values())))
    table_places = list(TABLE_PLACES)
    generator.shuffle(table_places)
    # Yaws are drawn for red, blue and pink in turn, wherever the blocks are.
    yaws = [generator.uniform(*BLOCK_YAW_RANGE) for _ in BLOCKS]

    has_own_places = scene is not None and scene.calvin_env is not None and scene.name != "D"
    own = scene if has_own_places else None
    slider, drawer, switch = (SLIDER_LEFT_M, DRAWER_OPEN_M, SWITCH_ON_M) if own is None else _upper_limits(own)
    scene_obs = np.zeros(24)
    scene_obs[0] = slider if state["slider"] == "left" else 0.0
    scene_obs[1] = drawer if state["drawer"] == "open" else 0.0
    scene_obs[3] = switch if state["lightbulb"] else 0.0
    scene_obs[4] = float(state["lightbulb"])
    scene_obs[5] = float(state["led"])
    red_on_table = state["red_block"] == "table"
    table_index = {"red_block": 0, "blue_block": 1 if red_on_table else 0, "pink_block": 1}
    rows = BLOCKS if own is None else tuple(own.block_urdfs)
    for block, key, yaw in zip(BLOCKS, _BLOCK_KEYS, yaws, strict=True):
        place = str(state[key])
        position = table_places[table_index[key]] if place == "table" else PLACES[place]
        if own is not None:
            position = _on_own_surface(position, SCENE_D_SURFACES[place], own.surfaces[place])
        row = rows.index(block)
        scene_obs[6 + 6 * row : 12 + 6 * row] = (*position, 0.0, 0.0, yaw)
    return InitialObservation(np.array(INITIAL_ROBOT_OBS), scene_obs)


def _upper_limits(scene: Scene) -> tuple[float, float, float]:
    """Joint positions of a slider that is left, a drawer that is open and a switch that is on."""
    slider, drawer, switch = (scene.joint_range(joint)[1] for joint in ("base__slide", "base__drawer", "base__switch"))
    return slider, drawer, switch


def _on_own_surface(place: tuple[float, float, float], surface: Surface, own: Surface) -> tuple[float, float, float]:
    """The point of another surface that corresponds to a place on scene D's. Its height above the surface is kept."""
    x, y = (
        own_low + (at - low) / (high - low) * (own_high - own_low)
        for at, low, high, own_low, own_high in zip(
            place[:2], surface.low[:2], surface.high[:2], own.low[:2], own.high[:2], strict=True
        )
    )
    return x, y, own.low[2] + place[2] - surface.low[2]


def _canonical(state: SymbolicState) -> dict[str, int | str]:
    """The state of `initial_states()` that equals a given one."""
    for key, values in _CONDITIONS.items():
        if key not in state:
            raise ValueError(
                f"expected an initial state with {', '.join(_CONDITIONS)}; '{key}' is missing in {dict(state)}."
            )
        if state[key] not in values:
            raise ValueError(f"expected '{key}' to be one of {values}, got {state[key]!r}.")
    canonical = {key: values[values.index(state[key])] for key, values in _CONDITIONS.items()}
    if canonical not in initial_states():
        raise ValueError(
            f"expected one or two blocks on the table and at most one in each half of the cabinet, got {canonical}. "
            "Take a state from initial_states()."
        )
    return canonical


def _fnv1_32(text: str) -> int:
    """32-bit FNV-1 over UTF-16-LE with an offset basis of 0, as `pyhash.fnv1_32()` computes it."""
    value = 0
    for byte in text.encode("utf-16-le"):
        value = (value * 0x01000193) & 0xFFFFFFFF
        value ^= byte
    return value
