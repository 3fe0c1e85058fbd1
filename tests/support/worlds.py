"""Hand-made worlds for tests of the oracle."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from calvinbench.envs.world_info import BlockInfo, Contact, WorldInfo

BASE = Contact("table", "base_link")
PLANK = Contact("table", "plank_link")
DRAWER = Contact("table", "drawer_link")
FINGERS = (Contact("robot", "panda_leftfinger"), Contact("robot", "panda_rightfinger"))
START = {"block_red": (0.05, -0.12, 0.46), "block_blue": (0.23, -0.12, 0.46), "block_pink": (-0.24, 0.09, 0.46)}


def world() -> WorldInfo:
    """Red and blue on the table, pink in the cabinet; doors closed, lights off, robot in the air."""
    blocks = {
        name: BlockInfo(
            position=np.array(position),
            quaternion=np.array([0.0, 0.0, 0.0, 1.0]),
            linear_velocity=np.zeros(3),
            angular_velocity=np.zeros(3),
            contacts=frozenset({PLANK if name == "block_pink" else BASE}),
        )
        for name, position in START.items()
    }
    joints = {"base__slide": 0.0, "base__drawer": 0.0, "base__button": 0.0, "base__switch": 0.0}
    return WorldInfo(blocks, joints, {"lightbulb": 0, "led": 0}, frozenset())


def with_block(
    info: WorldInfo,
    name: str,
    *,
    moved: Iterable[float] = (0.0, 0.0, 0.0),
    turned: Iterable[float] = (0.0, 0.0, 0.0),
    contacts: Iterable[Contact] | None = None,
    velocity: float = 0.0,
) -> WorldInfo:
    """The world with one block moved (metres), turned (euler xyz, degrees), or touching other things."""
    block = info.blocks[name]
    turn = Rotation.from_euler("xyz", list(turned), degrees=True)
    block = replace(
        block,
        position=block.position + np.array(list(moved)),
        quaternion=(turn * Rotation.from_quat(block.quaternion)).as_quat(),
        contacts=block.contacts if contacts is None else frozenset(contacts),
        linear_velocity=np.array([0.0, 0.0, velocity]),
    )
    return replace(info, blocks={**info.blocks, name: block})


def with_joints(info: WorldInfo, **joints: float) -> WorldInfo:
    """The world with joints at other positions."""
    return replace(info, joints={**info.joints, **joints})


def with_lights(info: WorldInfo, lights: Mapping[str, int]) -> WorldInfo:
    """The world with lights in other states."""
    return replace(info, lights={**info.lights, **lights})


def grasping(info: WorldInfo, name: str, height_m: float = 0.1) -> WorldInfo:
    """The world with a block in the air between the fingers."""
    held = with_block(info, name, moved=(0, 0, height_m), contacts=FINGERS)
    return replace(held, robot_contacts=frozenset({Contact(name, "base_link")}))


def released(info: WorldInfo) -> WorldInfo:
    """The world with nothing touching the robot."""
    return replace(info, robot_contacts=frozenset())
