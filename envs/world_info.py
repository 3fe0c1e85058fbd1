"""What is true in a world at one moment: the privileged information that the oracle and the expert read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

BLOCKS = ("block_red", "block_blue", "block_pink")
"""Names of the three movable blocks, in the order of scene D."""
ROBOT = "robot"
TABLE = "table"


class Contact(NamedTuple):
    """The other body of a contact point, and which of its links."""

    body: str
    link: str


@dataclass(frozen=True, slots=True, eq=False)
class BlockInfo:
    """One block.

    Attributes:
        position: Centre, metres, world frame.
        quaternion: Orientation, xyzw.
        linear_velocity: Metres a second.
        angular_velocity: Radians a second.
        contacts: Everything that Bullet lists as a contact of the block, also at a positive distance.
    """

    position: Float64[np.ndarray, "3"]
    quaternion: Float64[np.ndarray, "4"]
    linear_velocity: Float64[np.ndarray, "3"]
    angular_velocity: Float64[np.ndarray, "3"]
    contacts: frozenset[Contact]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BlockInfo):
            return NotImplemented
        return self.contacts == other.contacts and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("position", "quaternion", "linear_velocity", "angular_velocity")
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def touching(self) -> frozenset[str]:
        """Names of the bodies that touch the block."""
        return frozenset(contact.body for contact in self.contacts)


@dataclass(frozen=True, slots=True)
class WorldInfo:
    """The state of a world, as the oracle needs it.

    Attributes:
        blocks: The blocks by name, see `BLOCKS`.
        joints: Positions in metres of `base__slide`, `base__drawer` and, where known, `base__button`, `base__switch`.
        lights: `lightbulb` and `led`, 0 or 1.
        robot_contacts: Everything that touches the robot.
    """

    blocks: Mapping[str, BlockInfo]
    joints: Mapping[str, float]
    lights: Mapping[str, int]
    robot_contacts: frozenset[Contact]

    @property
    def robot_touching(self) -> frozenset[str]:
        """Names of the bodies that touch the robot."""
        return frozenset(contact.body for contact in self.robot_contacts)

    @classmethod
    def from_calvin(cls, info: Mapping[str, Any]) -> "WorldInfo":
        """Reads the dictionary that calvin_env's `get_info()` returns (keys `robot_info`, `scene_info`).

        Raises:
            KeyError: The dictionary lacks `scene_info`: upstream was made without `use_scene_info=True`.
        """
        if "scene_info" not in info:
            raise KeyError(
                f"expected CALVIN's info with 'robot_info' and 'scene_info', got keys {sorted(info)}. "
                "Make calvin_env's environment with use_scene_info=True."
            )
        scene, robot = info["scene_info"], info["robot_info"]
        names = {robot["uid"]: ROBOT}
        for kind in ("fixed_objects", "movable_objects"):
            names |= {body["uid"]: name for name, body in scene[kind].items()}
        links = {
            (body["uid"], index): link
            for body in scene["fixed_objects"].values()
            for link, index in body.get("links", {}).items()
        }

        def contacts(points: Any) -> frozenset[Contact]:
            return frozenset(
                Contact(names.get(point[2], f"body_{point[2]}"), links.get((point[2], point[4]), f"link_{point[4]}"))
                for point in points
            )

        return cls(
            blocks={
                name: BlockInfo(
                    position=np.asarray(block["current_pos"], dtype=np.float64),
                    quaternion=np.asarray(block["current_orn"], dtype=np.float64),
                    linear_velocity=np.asarray(block["current_lin_vel"], dtype=np.float64),
                    angular_velocity=np.asarray(block["current_ang_vel"], dtype=np.float64),
                    contacts=contacts(block["contacts"]),
                )
                for name, block in scene["movable_objects"].items()
            },
            joints={name: float(door["current_state"]) for name, door in scene["doors"].items()}
            | {
                name: float(joint["joint_state"])
                for kind in ("buttons", "switches")
                for name, joint in scene.get(kind, {}).items()
            },
            lights={name: int(light["logical_state"]) for name, light in scene["lights"].items()},
            robot_contacts=contacts(robot["contacts"]),
        )


@dataclass(frozen=True, slots=True)
class PrivilegedState:
    """What a privileged policy sees in addition to the observation. Learned policies never get this.

    Attributes:
        task: The current subtask's name.
        world: Blocks, joints, lights, contacts.
        robot_obs: Proprioception, see `observation.ROBOT_OBS_DIM`.
        target_position: Where the actions so far have moved the tool's target; metres.
        target_euler: The target's euler xyz; radians, unwrapped.
        block_sizes: Edges of each block by name; metres. None if the world does not say.
    """

    task: str
    world: WorldInfo
    robot_obs: Float64[np.ndarray, "15"]
    target_position: Float64[np.ndarray, "3"]
    target_euler: Float64[np.ndarray, "3"]
    block_sizes: Mapping[str, Float64[np.ndarray, "3"]] | None = None


def as_world_info(info: WorldInfo | Mapping[str, Any]) -> WorldInfo:
    """Reads a `WorldInfo` from the `info` of our Gymnasium environments or of calvin_env.

    A `WorldInfo` is returned as it is.

    Raises:
        KeyError: The mapping is none of these.
    """
    if isinstance(info, WorldInfo):
        return info
    if "world" in info:
        world = info["world"]
        if isinstance(world, WorldInfo):
            return world
    return WorldInfo.from_calvin(info)


def privileged_state(observation: Mapping[str, np.ndarray], info: Mapping[str, Any]) -> PrivilegedState:
    """What a privileged policy sees, from what `ChainEnv` returned."""
    return PrivilegedState(
        task=info["task"],
        world=as_world_info(info),
        robot_obs=observation["robot_obs"],
        target_position=info["target_position"],
        target_euler=info["target_euler"],
        block_sizes=info.get("block_sizes"),
    )
