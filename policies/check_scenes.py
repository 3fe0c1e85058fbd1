"""The made-up worlds of `check_policy`: what each of them shows at each step."""

from dataclasses import dataclass

import numpy as np

from calvinbench.envs.instructions import embedded_instructions
from calvinbench.envs.observation import CAMERA_SIZES, ROBOT_OBS_DIM
from calvinbench.envs.world_info import BLOCKS, TABLE, BlockInfo, Contact, PrivilegedState, WorldInfo

NUM_STEPS = 4
CHECK_TASKS = (
    "open_drawer",
    "stack_block",
    "turn_on_led",
    "rotate_red_block_right",
    "move_slider_left",
    "place_in_slider",
    "lift_pink_block_drawer",
)
"""Tasks of the worlds, in turn. Their sentences differ in length, so that a batch has padding."""


@dataclass(frozen=True, slots=True)
class CheckScene:
    """What one world shows at one step of a check."""

    observation: dict[str, np.ndarray]
    instruction: str
    privileged: PrivilegedState


def made_up_scenes(number: int) -> list[CheckScene]:
    """What a world shows over `NUM_STEPS` steps: random images, a tidy table, the same task at each step."""
    task = CHECK_TASKS[number % len(CHECK_TASKS)]
    generator = np.random.default_rng(number)
    return [
        CheckScene(
            observation=made_up_observation(generator),
            instruction=embedded_instructions().canonical(task),
            privileged=made_up_truth(task),
        )
        for _ in range(NUM_STEPS)
    ]


def made_up_observation(generator: np.random.Generator) -> dict[str, np.ndarray]:
    """A random observation of one world, with every key of `Observation` in native size.

    Args:
        generator: For the random numbers.
    """
    observation: dict[str, np.ndarray] = {"robot_obs": generator.uniform(-1.0, 1.0, ROBOT_OBS_DIM)}
    observation["robot_obs"][-1] = 1.0
    for camera, size in CAMERA_SIZES.items():
        observation[f"rgb_{camera}"] = generator.integers(0, 256, (size, size, 3), dtype=np.uint8)
        observation[f"depth_{camera}"] = generator.uniform(0.1, 5.0, (size, size)).astype(np.float32)
    return observation


def made_up_truth(task: str) -> PrivilegedState:
    """Three blocks in a row on the table, doors closed, lights off, the tool above the blocks."""
    on_table = frozenset({Contact(TABLE, "base_link")})
    blocks = {
        name: BlockInfo(
            position=np.array([-0.1 + 0.15 * index, -0.1, 0.46]),
            quaternion=np.array([0.0, 0.0, 0.0, 1.0]),
            linear_velocity=np.zeros(3),
            angular_velocity=np.zeros(3),
            contacts=on_table,
        )
        for index, name in enumerate(BLOCKS)
    }
    joints = {"base__slide": 0.0, "base__drawer": 0.0, "base__button": 0.0, "base__switch": 0.0}
    position, euler = np.array([0.0, -0.1, 0.6]), np.array([np.pi, 0.0, np.pi / 2])
    return PrivilegedState(
        task=task,
        world=WorldInfo(blocks=blocks, joints=joints, lights={"lightbulb": 0, "led": 0}, robot_contacts=frozenset()),
        robot_obs=np.concatenate([position, euler, [0.08], np.zeros(7), [1.0]]),
        target_position=position,
        target_euler=euler,
    )
