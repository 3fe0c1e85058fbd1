"""The Panda: relative and absolute actions, inverse kinematics, gripper.

Constants are those of calvin_env (`conf/robot/panda.yaml`, `panda_longer_finger.yaml`, `robot/robot.py` at 797142c).
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.observation import (
    MAX_RELATIVE_EULER_RAD,
    MAX_RELATIVE_POSITION_M,
    ActionConvention,
    require_finite_action,
)
from calvinbench.envs.scenes.panda import (
    BASE_POSITION,
    INITIAL_JOINTS,
    LOWER_JOINT_LIMITS,
    NUM_ARM_JOINTS,
    UPPER_JOINT_LIMITS,
)

PEDESTAL_RADIUS_M, PEDESTAL_LENGTH_M = 0.13, BASE_POSITION[2]
PEDESTAL_POSITION = (BASE_POSITION[0] - 0.05, BASE_POSITION[1], BASE_POSITION[2] / 2)
"""Of the cylinder's middle."""
FINGER_OPEN_M = 0.04
"""The joint of a finger when the gripper is open. When it is closed, the joint is 0."""
MAX_JOINT_FORCE_N = 200.0
MAX_JOINT_VELOCITY = 2.0
"""Radians a second."""
CLOSING_FORCE_N = 200.0
OPENING_FORCE_N = 2.0
MAX_FINGER_VELOCITY = 1.0
"""Metres a second."""
_NULL_SPACE_RANGE = 7.0
"""Limits and ranges that calvin_env gives to the null-space inverse kinematics, radians."""

OPEN = 1
CLOSED = -1


@dataclass(frozen=True, slots=True)
class TargetPose:
    """The target pose of the tool, after the actions so far.

    Attributes:
        position: Metres, world frame.
        euler: Euler xyz in radians. It is a sum of commands, so it may be outside -pi..pi.
    """

    position: Float64[np.ndarray, "3"]
    euler: Float64[np.ndarray, "3"]


class Robot:
    """The arm in a Bullet client."""

    def __init__(self, client: Any, urdf: str) -> None:
        """Loads the arm on its pedestal.

        Args:
            client: A `BulletClient`.
            urdf: The arm's description, as text.
        """
        self._client = client
        self.uid = _load_urdf_text(client, urdf)
        self.link_names = {-1: "base_link"}
        for index in range(client.getNumJoints(self.uid)):
            self.link_names[index] = client.getJointInfo(self.uid, index)[12].decode()
        links = {name: index for index, name in self.link_names.items()}
        self._tcp_link, self._camera_link = links["tcp"], links["gripper_cam"]
        self._fingers = (links["panda_leftfinger"], links["panda_rightfinger"])
        self._add_pedestal()
        self._centre_fingers()
        num_dof = client.computeDofCount(self.uid)
        self._null_space = (
            [-_NULL_SPACE_RANGE] * num_dof,
            [_NULL_SPACE_RANGE] * num_dof,
            [_NULL_SPACE_RANGE] * num_dof,
            [*INITIAL_JOINTS, FINGER_OPEN_M, FINGER_OPEN_M],
        )
        self._gripper_action = OPEN
        self._target = TargetPose(np.zeros(3), np.zeros(3))
        self.reset()

    def _add_pedestal(self) -> None:
        """A white cylinder below the arm, which collides with nothing."""
        shape = self._client.createVisualShape(
            self._client.GEOM_CYLINDER,
            rgbaColor=[1, 1, 1, 1],
            radius=PEDESTAL_RADIUS_M,
            length=PEDESTAL_LENGTH_M,
            visualFramePosition=PEDESTAL_POSITION,
        )
        self._client.createMultiBody(baseVisualShapeIndex=shape)

    def _centre_fingers(self) -> None:
        """Couples the two fingers by a gear, so that they stay at equal distance from the middle."""
        left, right = self._fingers
        gear = self._client.createConstraint(
            self.uid,
            left,
            self.uid,
            right,
            jointType=self._client.JOINT_GEAR,
            jointAxis=[1, 0, 0],
            parentFramePosition=[0, 0, 0],
            childFramePosition=[0, 0, 0],
        )
        self._client.changeConstraint(gear, gearRatio=-1, erp=0.1, maxForce=50)

    @property
    def target(self) -> TargetPose:
        """The target pose of the tool, after the actions so far."""
        return self._target

    @property
    def camera_pose(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Position and quaternion of the link that carries the gripper camera."""
        position, quaternion = self._client.getLinkState(self.uid, self._camera_link)[:2]
        return position, quaternion

    def reset(self, robot_obs: Float64[np.ndarray, "15"] | None = None) -> None:
        """Sets joints and gripper. The target becomes the resulting pose of the tool.

        Args:
            robot_obs: Its width, joints and gripper action are used. The tool's pose follows from the joints. None
                means CALVIN's initial joints and an open gripper.
        """
        joints = INITIAL_JOINTS if robot_obs is None else robot_obs[7:14]
        finger = FINGER_OPEN_M if robot_obs is None else robot_obs[6] / 2
        self._gripper_action = OPEN if robot_obs is None or robot_obs[14] > 0 else CLOSED
        for index, angle in enumerate(joints):
            self._client.resetJointState(self.uid, index, angle)
            self._drive_joint(index, angle)
        for index in self._fingers:
            self._client.resetJointState(self.uid, index, finger)
            self._drive_finger(index, finger, CLOSING_FORCE_N)
        position, euler = self._tcp_pose()
        self._target = TargetPose(np.array(position), np.array(euler))

    def observe(self) -> Float64[np.ndarray, "15"]:
        """Proprioception, see `observation.ROBOT_OBS_DIM`."""
        position, euler = self._tcp_pose()
        width = sum(self._client.getJointState(self.uid, index)[0] for index in self._fingers)
        return np.array([*position, *euler, width, *self._joints(), self._gripper_action], dtype=np.float64)

    def apply(self, action: Any, convention: ActionConvention) -> None:
        """Drives the motors towards the target of an action. The caller must then step the world.

        As in CALVIN, relative actions are not clipped, and the target moves on while the arm is blocked. The gripper
        opens if its number is above 0, otherwise it closes.

        Raises:
            ValueError: The action has another shape than the convention's, or a number is NaN or infinite.
        """
        *arm, gripper = require_finite_action(action, convention)
        numbers = np.array(arm)
        self._gripper_action = OPEN if gripper > 0 else CLOSED
        match convention:
            case ActionConvention.REL_ACTIONS:
                self._target = TargetPose(
                    self._target.position + numbers[:3] * MAX_RELATIVE_POSITION_M,
                    self._target.euler + numbers[3:] * MAX_RELATIVE_EULER_RAD,
                )
                joints = self._inverse_kinematics(self._target)
            case ActionConvention.ABS_ACTIONS:
                turn = numbers[3:]
                euler = self._client.getEulerFromQuaternion(turn.tolist()) if len(turn) == 4 else turn
                self._target = TargetPose(numbers[:3], np.array(euler))
                joints = self._inverse_kinematics(self._target)
            case ActionConvention.REL_JOINTS:
                joints = np.array(self._joints()) + numbers
            case ActionConvention.ABS_JOINTS:
                joints = numbers
        for index, angle in enumerate(joints):
            self._drive_joint(index, angle)
        finger, force = (FINGER_OPEN_M, OPENING_FORCE_N) if self._gripper_action == OPEN else (0.0, CLOSING_FORCE_N)
        for index in self._fingers:
            self._drive_finger(index, finger, force)

    def _tcp_pose(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Tool position and euler xyz. As upstream, they are one substep older than the joints while the arm moves."""
        position, quaternion = self._client.getLinkState(self.uid, self._tcp_link)[:2]
        return position, self._client.getEulerFromQuaternion(quaternion)

    def _joints(self) -> list[float]:
        states = self._client.getJointStates(self.uid, range(NUM_ARM_JOINTS))
        return [state[0] for state in states]

    def _inverse_kinematics(self, target: TargetPose) -> Float64[np.ndarray, "7"]:
        """Null-space inverse kinematics around the initial joints, clipped to the joint limits."""
        joints = self._client.calculateInverseKinematics(
            self.uid,
            self._tcp_link,
            target.position.tolist(),
            self._client.getQuaternionFromEuler(target.euler.tolist()),
            *self._null_space,
        )
        return np.asarray(np.clip(joints[:NUM_ARM_JOINTS], LOWER_JOINT_LIMITS, UPPER_JOINT_LIMITS))

    def _drive_joint(self, index: int, angle: float) -> None:
        self._drive(index, angle, MAX_JOINT_FORCE_N, MAX_JOINT_VELOCITY)

    def _drive_finger(self, index: int, position: float, force: float) -> None:
        self._drive(index, position, force, MAX_FINGER_VELOCITY)

    def _drive(self, index: int, position: float, force: float, max_velocity: float) -> None:
        self._client.setJointMotorControl2(
            self.uid,
            index,
            self._client.POSITION_CONTROL,
            targetPosition=position,
            force=force,
            maxVelocity=max_velocity,
        )


def _load_urdf_text(client: Any, urdf: str) -> int:
    """Loads a URDF that is not a file, through a temporary file: Bullet reads files only."""
    handle, name = tempfile.mkstemp(suffix=".urdf")
    file = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(urdf)
        return int(client.loadURDF(name, BASE_POSITION, (0, 0, 0, 1), useFixedBase=True))
    finally:
        file.unlink()
