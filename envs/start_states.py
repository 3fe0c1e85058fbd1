"""Start states for demonstrations: random doors, lights and blocks. None is one of the evaluation's 192 states."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.chains import SymbolicState, initial_observation, initial_states
from calvinbench.envs.scenes.scene import Scene
from calvinbench.envs.world_info import BLOCKS

MIN_BLOCK_DISTANCE_M = 0.09
"""Smallest distance between the centres of blocks, so that fingers fit between them."""
YAW_RANGE = (np.pi / 4, 3 * np.pi / 4)
"""Range of yaws, radians: twice as wide as in the evaluation."""
EVALUATION_CLEARANCE_M = 0.01
EVALUATION_CLEARANCE_RAD = 0.05
"""A state is drawn again if every block is nearer than both to its pose in one of the 192 states."""
_PLACES = ("table", "slider_left", "slider_right", "drawer")
_PLACE_WEIGHTS = (0.55, 0.16, 0.16, 0.13)
_DRAWER_LOW, _DRAWER_HIGH = np.array([0.08, -0.075, 0.37]), np.array([0.28, -0.045, 0.37])
"""Range of centres of blocks in scene D's closed drawer, metres. The drawer opens along -y."""


@dataclass(frozen=True, slots=True)
class StartState:
    """Where a demonstration begins.

    Attributes:
        symbolic: The state as `chains.next_states` reads it; a block may also be in the `drawer`.
        scene_obs: The same state as numbers, for resetting a world.
    """

    symbolic: SymbolicState
    scene_obs: Float64[np.ndarray, "24"]


def draw_start_state(generator: np.random.Generator, scene: Scene) -> StartState:
    """Draws a state.

    Args:
        generator: The random generator.
        scene: The scene. Blocks are put on its surfaces or into the drawer, which must be where scene D has it.
    """
    while True:
        state = _draw(generator, scene)
        if not is_evaluation_state(state.scene_obs):
            return state


def is_evaluation_state(scene_obs: Float64[np.ndarray, "24"]) -> bool:
    """Whether all blocks are at, or very near, their poses in one of the 192 evaluation states."""
    poses = scene_obs[6:].reshape(3, 6)
    apart = np.linalg.norm(_evaluation_poses()[:, :, :3] - poses[:, :3], axis=2)  # (192, 3)
    turned = _yaw_between(_evaluation_poses()[:, :, 5], poses[:, 5])
    near = (apart < EVALUATION_CLEARANCE_M) & (turned < EVALUATION_CLEARANCE_RAD)
    return bool(near.all(axis=1).any())


@cache
def _evaluation_poses() -> Float64[np.ndarray, "192 3 6"]:
    return np.stack([initial_observation(state).scene_obs[6:].reshape(3, 6) for state in initial_states()])


def _yaw_between(one: Float64[np.ndarray, "N 3"], other: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "N 3"]:
    """Angle between yaws, 0..pi."""
    between: Float64[np.ndarray, "N 3"] = np.abs((one - other + np.pi) % (2 * np.pi) - np.pi)
    return between


def _draw(generator: np.random.Generator, scene: Scene) -> StartState:
    led, lightbulb, slider, drawer = (int(number) for number in generator.integers(0, 2, size=4))
    slider_m, drawer_m, switch_m = (scene.joint_range(f"base__{joint}")[1] for joint in ("slide", "drawer", "switch"))
    places = _draw_places(generator)
    positions = _draw_positions(generator, scene, places, drawer_m * drawer)
    yaws = generator.uniform(*YAW_RANGE, size=len(BLOCKS))
    poses = {block: (*position, 0.0, 0.0, yaw) for block, position, yaw in zip(BLOCKS, positions, yaws, strict=True)}
    fixtures = (slider_m * slider, drawer_m * drawer, 0.0, switch_m * lightbulb, float(lightbulb), float(led))
    symbolic: dict[str, int | str] = {
        "led": led,
        "lightbulb": lightbulb,
        "slider": "left" if slider else "right",
        "drawer": "open" if drawer else "closed",
        **{f"{block.removeprefix('block_')}_block": place for block, place in zip(BLOCKS, places, strict=True)},
        "grasped": 0,
    }
    return StartState(symbolic, np.array([*fixtures, *(x for block in scene.block_urdfs for x in poses[block])]))


def _draw_places(generator: np.random.Generator) -> tuple[str, ...]:
    """A place for each block. Each half of the cabinet gets at most one, and at least one block is on the table."""
    while True:
        places = tuple(str(place) for place in generator.choice(_PLACES, size=len(BLOCKS), p=_PLACE_WEIGHTS))
        if "table" in places and all(places.count(half) <= 1 for half in ("slider_left", "slider_right")):
            return places


def _draw_positions(
    generator: np.random.Generator, scene: Scene, places: tuple[str, ...], drawer_m: float
) -> list[Float64[np.ndarray, "3"]]:
    """A position for each block in its place. The blocks do not overlap."""
    while True:
        positions = []
        for place in places:
            if place == "drawer":
                positions.append(generator.uniform(_DRAWER_LOW, _DRAWER_HIGH) - [0.0, drawer_m, 0.0])
            else:
                positions.append(scene.surfaces[place].draw(generator))
        gaps = [
            float(np.linalg.norm(one - other)) for index, one in enumerate(positions) for other in positions[:index]
        ]
        if min(gaps) > MIN_BLOCK_DISTANCE_M:
            return positions
