"""What the scripted expert sees of the world, in the terms in which it plans.

Distances are metres and angles radians in the world's frame: x to the right along the table, y to the back, z up. The
tool points down. Its yaw is the direction in which the fingers open, plus a quarter turn.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from calvinbench.envs.world_info import ROBOT, PrivilegedState

Vector = Float64[np.ndarray, "3"]

FRONT_YAW = np.pi / 2
"""The tool's yaw when its fingers open along x."""
CABINET_OUT = np.array([0.0, -np.sqrt(3) / 2, 0.5])
"""Normal of the cabinet's front, pointing out of the cabinet. The front leans back by 30 degrees."""
CABINET_UP = np.array([0.0, 0.5, np.sqrt(3) / 2])
"""Upwards along the cabinet's front."""
CABINET_FOOT = np.array([0.0, 0.02, 0.44])
"""A point on the line where the cabinet's front meets the tabletop."""


def face_yaw(rotation: Rotation) -> float:
    """The heading of a horizontal face of a block, radians. It works for a block that lies on any of its sides."""
    axes = rotation.as_matrix()
    x, y, _ = next(axes[:, axis] for axis in range(3) if abs(axes[2, axis]) < 0.5)
    return float(np.arctan2(y, x))


def tool_rotation(yaw: float = FRONT_YAW, tilt: float = 0.0) -> Rotation:
    """The rotation of a tool that points down with a yaw. `tilt`, about the world's x, makes it lean to the front."""
    return Rotation.from_euler("x", tilt) * Rotation.from_euler("xyz", [np.pi, 0.0, yaw])


class View:
    """The state at one moment. `Expert` replaces `state` and `is_solved` at every step."""

    def __init__(
        self, state: PrivilegedState, block_sizes: Mapping[str, tuple[float, float, float]], tolerance_m: float
    ) -> None:
        """Looks at a first state.

        Args:
            state: What is true now.
            block_sizes: Edges of the blocks, metres.
            tolerance_m: How close the target must come to a waypoint, along each axis, to count as arrived.
        """
        self.state = state
        self.is_solved = False
        self.block_sizes = block_sizes
        self.tolerance_m = tolerance_m

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks."""
        return tuple(self.state.world.blocks)

    @property
    def tcp(self) -> Vector:
        """Position of the tool."""
        return self.state.robot_obs[:3].copy()

    @property
    def tool(self) -> Rotation:
        """Rotation of the tool."""
        return Rotation.from_euler("xyz", self.state.robot_obs[3:6])

    @property
    def gripper(self) -> float:
        """The last gripper action: +1 open, -1 closed."""
        return float(self.state.robot_obs[14])

    @property
    def target(self) -> Vector:
        """Position of the target, after the actions so far."""
        return self.state.target_position

    @property
    def slider(self) -> float:
        """The sliding door's joint: 0 at the right, 0.28 at the left."""
        return self.state.world.joints["base__slide"]

    @property
    def drawer(self) -> float:
        """The drawer's joint: 0 closed, 0.22 open."""
        return self.state.world.joints["base__drawer"]

    @property
    def switch(self) -> float:
        """The switch's joint: 0 down, 0.088 up."""
        return self.state.world.joints["base__switch"]

    def position(self, block: str) -> Vector:
        """Centre of a block."""
        return self.state.world.blocks[block].position.copy()

    def rotation(self, block: str) -> Rotation:
        """Orientation of a block."""
        return Rotation.from_quat(self.state.world.blocks[block].quaternion)

    def others(self, block: str | None) -> list[str]:
        """All other blocks."""
        return [name for name in self.blocks if name != block]

    def place(self, block: str) -> str:
        """`drawer`, `slider` or `table`: where a block is, by its position."""
        _, y, z = self.position(block)
        if z < 0.43:
            return "drawer"
        return "slider" if y > 0.02 else "table"

    def held(self) -> str | None:
        """The block between the fingers; None if there is none."""
        for name, block in self.state.world.blocks.items():
            fingers = {contact.link for contact in block.contacts if contact.body == ROBOT}
            if len(fingers) >= 2:
                return name
        return None

    def touches_block(self, block: str) -> bool:
        """Whether a block touches another block."""
        return bool(self.state.world.blocks[block].touching & set(self.others(block)))

    def depth_outside_cabinet(self, point: Vector) -> float:
        """Distance of a point from the cabinet's front, negative inside the cabinet."""
        return float(CABINET_OUT @ (point - CABINET_FOOT))

    def is_before_cabinet(self) -> bool:
        """Whether the tool is in the cabinet, or so close to its front that it would hit the door's frame on rising."""
        return self.depth_outside_cabinet(self.tcp) < 0.13 and bool(self.tcp[1] > -0.08)

    def extent(self, block: str, axis: int) -> float:
        """Half of a block's size along an axis of the world."""
        return float(np.abs(self.rotation(block).as_matrix()[axis]) @ np.array(self.block_sizes[block]) / 2)

    def levelling(self, block: str) -> Rotation:
        """The smallest rotation that makes a tilted block level."""
        axes = self.rotation(block).as_matrix()
        upright = int(np.argmax(np.abs(axes[2])))
        up = axes[:, upright] * np.sign(axes[2, upright])
        turn_axis = np.cross(up, [0.0, 0.0, 1.0])
        sine = float(np.linalg.norm(turn_axis))
        if sine < 1e-3:
            return Rotation.identity()
        return Rotation.from_rotvec(turn_axis / sine * np.arctan2(sine, up[2]))
