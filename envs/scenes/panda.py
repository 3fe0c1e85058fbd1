"""The embedded scene's arm: the Panda that ships with `pybullet_data`, with our fingers, camera and tool point.

The URDF is derived when a world is made, and never stored. So the project contains no copy of it.
"""

from pathlib import Path
from xml.etree import ElementTree as Xml

import pybullet_data

BASE_POSITION = (-0.34, -0.46, 0.24)
"""The position of the arm's base in all scenes, metres (`robot_base_position` of calvin_env)."""
INITIAL_JOINTS = (-1.21779206, 1.03987646, 2.11978261, -2.34205014, -0.87015947, 1.64119353, 0.55344866)
"""The arm's joint angles at the start, in radians (`robot_initial_joint_positions` of calvin_env)."""
LOWER_JOINT_LIMITS = (-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973)
UPPER_JOINT_LIMITS = (2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973)
"""Radians (`lower_joint_limits` and `upper_joint_limits` of calvin_env)."""
NUM_ARM_JOINTS = 7

_FINGER = """
<link name="panda_{side}finger">
  <contact>
    <friction_anchor/>
    <stiffness value="30000"/> <damping value="1000"/>
    <spinning_friction value="0.1"/> <lateral_friction value="1"/>
  </contact>
  <inertial>
    <origin xyz="0 {inertial_y} 0.02" rpy="0 0 0"/>
    <mass value="0.1"/>
    <inertia ixx="0.1" ixy="0" ixz="0" iyy="0.1" iyz="0" izz="0.1"/>
  </inertial>
</link>
"""
_FINGER_BOXES = (
    ((0.021, 0.021, 0.034), (0.0, 0.0165, 0.017)),
    ((0.021, 0.012, 0.062), (0.0, 0.0068, 0.065)),
)
"""A finger's foot and its long blade: edges and centres in metres, for the left finger; the right mirrors y."""
_FINGER_COLOUR = "0.75 0.75 0.78 1"

_ADDED_LINKS = """
<links>
  <joint name="camera_joint" type="fixed">
    <parent link="panda_hand"/> <child link="gripper_cam"/> <origin xyz="-0.1 0 0" rpy="1.3 0 -1.57"/>
  </joint>
  <link name="gripper_cam">
    <inertial><mass value="0.2"/><inertia ixx="0.1" ixy="0" ixz="0" iyy="0.1" iyz="0" izz="0.1"/></inertial>
  </link>
  <joint name="tcp_joint" type="fixed">
    <parent link="panda_hand"/> <child link="tcp"/> <origin xyz="0 0 0.14" rpy="0 0 0"/>
  </joint>
  <link name="tcp">
    <inertial><mass value="0.00001"/><inertia ixx="0.1" ixy="0" ixz="0" iyy="0.1" iyz="0" izz="0.1"/></inertial>
  </link>
</links>
"""
"""Poses of the gripper camera and the tool point on the gripper, from calvin_env's `panda_longer_finger.urdf`."""


def panda_urdf() -> str:
    """The URDF of the arm, with absolute paths of the meshes in the installed `pybullet_data`.

    The arm is drawn with its collision meshes: they are coarser than the visual ones, and several times faster.

    Raises:
        FileNotFoundError: `pybullet_data` lacks the Panda.
    """
    folder = Path(pybullet_data.getDataPath()) / "franka_panda"
    file = folder / "panda.urdf"
    if not file.is_file():
        raise FileNotFoundError(f"expected the Panda of pybullet_data at {file}. Install pybullet again.")
    robot = Xml.fromstring(file.read_text(encoding="utf-8"))  # noqa: S314  (a file of an installed package)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        _replace_finger(robot, side, sign)
    robot.extend(list(Xml.fromstring(_ADDED_LINKS)))  # noqa: S314
    for visual in robot.iter("visual"):
        for mesh in visual.iter("mesh"):
            mesh.set("filename", mesh.attrib["filename"].replace("meshes/visual/", "meshes/collision/"))
    for mesh in robot.iter("mesh"):
        mesh.set("filename", mesh.attrib["filename"].replace("package://", f"{folder.as_posix()}/"))
    return Xml.tostring(robot, encoding="unicode")


def _replace_finger(robot: Xml.Element, side: str, sign: float) -> None:
    """Replaces a finger by one of two boxes, which reaches 4 cm farther, as CALVIN's does."""
    name = f"panda_{side}finger"
    finger = Xml.fromstring(_FINGER.format(side=side, inertial_y=0.01 * sign))  # noqa: S314
    for size, (x, y, z) in _FINGER_BOXES:
        for kind in ("visual", "collision"):
            element = Xml.SubElement(finger, kind)
            Xml.SubElement(element, "origin", xyz=f"{x} {sign * y} {z}", rpy="0 0 0")
            Xml.SubElement(Xml.SubElement(element, "geometry"), "box", size=" ".join(map(str, size)))
            if kind == "visual":
                material = Xml.SubElement(element, "material", name="finger_grey")
                Xml.SubElement(material, "color", rgba=_FINGER_COLOUR)
    index = next(i for i, child in enumerate(robot) if child.tag == "link" and child.get("name") == name)
    robot[index] = finger
