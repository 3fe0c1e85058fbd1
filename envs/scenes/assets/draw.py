"""Draws the embedded scene's table and blocks from primitives: `python -m calvinbench.envs.scenes.assets.draw`.

The drawings are written beside this file and are part of the package. Joints, links, axes and ranges are those of
CALVIN's scene D as simulated (its files scaled by 0.8), so that states, chains and the expert work in both. The shapes
are our own. Lengths are metres. A link's shapes are given in the link's frame, which its joint places in the table's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import pi
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np

Vector = tuple[float, float, float]
Range = tuple[float, float]

OAK = (0.62, 0.45, 0.29)
WALNUT = (0.52, 0.36, 0.22)
DARK_WOOD = (0.36, 0.24, 0.14)
DOOR_WOOD = (0.74, 0.58, 0.40)
DRAWER_WOOD = (0.70, 0.53, 0.36)
SHELF_WOOD = (0.80, 0.70, 0.55)
HANDLE_GREY = (0.25, 0.25, 0.27)
BUTTON_BLACK = (0.05, 0.05, 0.05)
LIGHT_OFF = (1.0, 1.0, 1.0)

BLOCK_SIZES: dict[str, Vector] = {
    "block_red": (0.056, 0.04, 0.04),
    "block_blue": (0.04, 0.04, 0.04),
    "block_pink": (0.08, 0.04, 0.04),
}
"""Edges of the blocks, metres: red middle, blue small, pink big, as in scene D."""
BLOCK_COLOURS = {"block_red": (0.90, 0.05, 0.05), "block_blue": (0.05, 0.10, 0.90), "block_pink": (0.95, 0.20, 0.85)}

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Shape:
    """One primitive of a link.

    Attributes:
        tag: `box`, `cylinder`, `sphere` or `mesh`.
        size: That tag's attributes.
        position: Its centre (for a mesh, its origin) in the link's frame.
        colour: Red, green, blue from 0 to 1.
        euler: Its orientation in the link's frame, radians.
        solid: Whether it can be touched.
    """

    tag: str
    size: dict[str, str]
    position: Vector
    colour: Vector
    euler: Vector = (0.0, 0.0, 0.0)
    solid: bool = True


def box(x: Range, y: Range, z: Range, colour: Vector) -> Shape:
    """A box that spans three ranges."""
    size = " ".join(f"{high - low:.5f}" for low, high in (x, y, z))
    return Shape("box", {"size": size}, (sum(x) / 2, sum(y) / 2, sum(z) / 2), colour)


def cylinder(radius: float, length: float, position: Vector, colour: Vector, euler: Vector = (0.0, 0.0, 0.0)) -> Shape:
    """A cylinder about its own z axis."""
    return Shape("cylinder", {"radius": f"{radius}", "length": f"{length}"}, position, colour, euler)


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the table and the joint that holds it to the base.

    Attributes:
        name: The link's name.
        joint: The joint's name.
        shapes: What it is made of.
        mass: Kilograms.
        origin: The origin of its frame, in the base's.
        roll: How far its frame is turned about x, radians.
        axis: The direction in which it slides, in its own frame; None for a link that is fixed.
        travel: How far it slides, metres.
    """

    name: str
    joint: str
    shapes: Sequence[Shape]
    mass: float
    origin: Vector
    roll: float
    axis: Vector | None = None
    travel: float = 0.0


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:.6g}" for value in values)


def _add_link(
    robot: Xml.Element, name: str, mass: float, shapes: Sequence[Shape], inertia: float = 0.01
) -> Xml.Element:
    link = Xml.SubElement(robot, "link", name=name)
    inertial = Xml.SubElement(link, "inertial")
    Xml.SubElement(inertial, "mass", value=f"{mass}")
    Xml.SubElement(inertial, "inertia", ixx=f"{inertia}", ixy="0", ixz="0", iyy=f"{inertia}", iyz="0", izz=f"{inertia}")
    for shape in shapes:
        for kind in ("visual", "collision") if shape.solid else ("visual",):
            element = Xml.SubElement(link, kind)
            Xml.SubElement(element, "origin", xyz=_numbers(shape.position), rpy=_numbers(shape.euler))
            Xml.SubElement(Xml.SubElement(element, "geometry"), shape.tag, shape.size)
            if kind == "visual":
                material = Xml.SubElement(
                    element, "material", name="colour_" + "_".join(f"{c:g}" for c in shape.colour)
                )
                Xml.SubElement(material, "color", rgba=f"{_numbers(shape.colour)} 1")
    return link


def _add_joint(robot: Xml.Element, link: Link) -> None:
    joint = Xml.SubElement(robot, "joint", name=link.joint, type="fixed" if link.axis is None else "prismatic")
    Xml.SubElement(joint, "origin", xyz=_numbers(link.origin), rpy=_numbers((link.roll, 0.0, 0.0)))
    Xml.SubElement(joint, "parent", link="base_link")
    Xml.SubElement(joint, "child", link=link.name)
    Xml.SubElement(joint, "axis", xyz=_numbers(link.axis or (0.0, 0.0, 0.0)))
    Xml.SubElement(joint, "limit", lower="0", upper=f"{link.travel}", effort="0", velocity="0")


def _write(robot: Xml.Element, file: Path) -> None:
    Xml.indent(robot)
    file.write_text(Xml.tostring(robot, encoding="unicode") + "\n", encoding="utf-8")


def _base_shapes() -> list[Shape]:
    """Tabletop, legs, aprons around the drawer, and the cabinet, whose front leans back by 30 degrees.

    The tabletop has a hole for the cabinet's floor, the plank, which is a millimetre higher as in scene D.
    """
    shapes = [
        box((-0.44, 0.44), (-0.18, 0.02), (0.40, 0.44), OAK),
        box((-0.44, -0.36), (0.02, 0.18), (0.40, 0.44), OAK),
        box((0.16, 0.44), (0.02, 0.18), (0.40, 0.44), OAK),
        box((-0.36, 0.16), (0.16, 0.18), (0.40, 0.44), OAK),
        box((-0.36, 0.16), (0.02, 0.16), (0.40, 0.41), OAK),
    ]
    for x in ((-0.44, -0.40), (0.40, 0.44)):
        for y in ((-0.18, -0.148), (0.148, 0.18)):
            shapes.append(box(x, y, (0.0, 0.40), DARK_WOOD))
    for x, y in (
        ((-0.40, -0.02), (-0.16, -0.14)),
        ((0.38, 0.40), (-0.16, -0.14)),
        ((-0.42, -0.40), (-0.148, 0.148)),
        ((0.40, 0.42), (-0.148, 0.148)),
        ((-0.40, 0.40), (0.14, 0.16)),
    ):
        shapes.append(box(x, y, (0.30, 0.40), WALNUT))
    shapes.append(box((-0.44, 0.44), (0.16, 0.18), (0.44, 0.648), DARK_WOOD))
    shapes.append(box((-0.44, 0.44), (0.135, 0.16), (0.628, 0.648), WALNUT))
    for low, high in ((-0.44, -0.36), (0.16, 0.44)):
        wedge_size = {"filename": "wedge.obj", "scale": f"{high - low:.4f} 0.12 0.208"}
        shapes.append(Shape("mesh", wedge_size, (low, 0.02, 0.44), WALNUT))
        shapes.append(box((low, high), (0.14, 0.16), (0.44, 0.628), WALNUT))
    shapes.append(cylinder(0.04, 0.02, (-0.12, -0.12, 0.45), DARK_WOOD))
    for rail_x in (0.25, 0.35):
        rail = {"size": "0.016 0.12 0.004"}
        shapes.append(Shape("box", rail, (rail_x, 0.08, 0.544), HANDLE_GREY, euler=(pi / 3, 0.0, 0.0), solid=False))
    return shapes


def _handle(x: Range, bar_y: Range, bar_z: Range, foot_y: Sequence[Range], foot_z: Range) -> list[Shape]:
    """A handle: a bar on two feet."""
    return [box(x, bar_y, bar_z, HANDLE_GREY)] + [box(x, y, foot_z, HANDLE_GREY) for y in foot_y]


def _links() -> list[Link]:
    """The moving links, and the two lights and the cabinet's floor, which have links of their own."""
    button = cylinder(0.032, 0.024, (0.0, 0.012, 0.0), BUTTON_BLACK, euler=(pi / 2, 0.0, 0.0))
    depth = (-0.024, 0.008)
    switch = [
        box((-0.06, 0.06), (0.042, 0.064), depth, HANDLE_GREY),
        box((-0.06, -0.04), (0.0, 0.042), depth, HANDLE_GREY),
        box((0.04, 0.06), (0.0, 0.042), depth, HANDLE_GREY),
    ]
    door = [box((0.0, 0.28), (-0.11, 0.11), (0.0, 0.0216), DOOR_WOOD)]
    door += _handle((0.12, 0.16), (-0.08, 0.08), (0.058, 0.08), ((-0.08, -0.056), (0.056, 0.08)), (0.0216, 0.058))
    drawer = [
        box((-0.22, 0.22), (-0.02, 0.077), (0.157, 0.182), DRAWER_WOOD),
        box((-0.20, 0.20), (0.0, 0.021), (-0.06, 0.157), SHELF_WOOD),
        box((-0.20, -0.18), (0.021, 0.08), (-0.06, 0.157), DRAWER_WOOD),
        box((0.18, 0.20), (0.021, 0.08), (-0.06, 0.157), DRAWER_WOOD),
        box((-0.18, 0.18), (0.021, 0.08), (-0.06, -0.038), DRAWER_WOOD),
        box((-0.12, -0.096), (0.02, 0.06), (0.182, 0.238), HANDLE_GREY),
        box((0.096, 0.12), (0.02, 0.06), (0.182, 0.238), HANDLE_GREY),
        box((-0.12, 0.12), (0.02, 0.06), (0.238, 0.26), HANDLE_GREY),
    ]
    led = [box((-0.08, 0.08), (0.0, 0.016), (-0.02, 0.02), LIGHT_OFF)]
    bulb = [Shape("sphere", {"radius": "0.031"}, (0.0, 0.0255, -0.028), LIGHT_OFF)]
    plank = [box((-0.26, 0.26), (0.0, 0.02), (-0.07, 0.07), SHELF_WOOD)]
    return [
        Link("button_link", "base__button", [button], 0.12, (-0.12, -0.12, 0.46), pi / 2, (0.0, -1.0, 0.0), 0.02),
        Link("switch_link", "base__switch", switch, 0.2, (0.3, 0.0609, 0.4949), 5 * pi / 6, (0.0, 0.0, -1.0), 0.088),
        Link("slide_link", "base__slide", door, 1.2, (-0.1, 0.075, 0.53526), pi / 3, (-1.0, 0.0, 0.0), 0.28),
        Link("drawer_link", "base__drawer", drawer, 3.0, (0.18, 0.0, 0.32), pi / 2, (0.0, 0.0, 1.0), 0.22),
        Link("led_link", "base__led", led, 0.1, (-0.12, 0.16, 0.648), pi / 2),
        Link("light_link", "base__light", bulb, 0.1, (0.3, 0.132, 0.648), pi / 2),
        Link("plank_link", "base__plank", plank, 2.0, (-0.1, 0.09, 0.421), pi / 2),
    ]


def draw_table(folder: Path) -> None:
    """Writes `table.urdf` and the wedge that it refers to."""
    draw_wedge(folder)
    robot = Xml.Element("robot", name="play_table")
    _add_link(robot, "base_link", 0.0, _base_shapes())
    for link in _links():
        _add_link(robot, link.name, link.mass, link.shapes)
        _add_joint(robot, link)
    _write(robot, folder / "table.urdf")


def draw_wedge(folder: Path) -> None:
    """Writes `wedge.obj`: a prism of unit length along x over the triangle (0, 0), (1, 0), (1, 1) in y and z."""
    corners = np.array([(x, y, z) for x in (0, 1) for y, z in ((0, 0), (1, 0), (1, 1))], dtype=float)
    triangles = [(0, 2, 1), (3, 4, 5), (0, 1, 4), (0, 4, 3), (1, 2, 5), (1, 5, 4), (0, 3, 5), (0, 5, 2)]
    lines = ["# A right triangular prism, drawn by draw.py; every triangle has corners and a normal of its own."]
    faces = []
    for number, triangle in enumerate(triangles):
        a, b, c = corners[list(triangle)]
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal)
        lines += [f"v {_numbers(corner)}" for corner in (a, b, c)] + [f"vn {_numbers(normal)}"]
        faces.append("f " + " ".join(f"{3 * number + corner}//{number + 1}" for corner in (1, 2, 3)))
    (folder / "wedge.obj").write_text("\n".join([*lines, *faces]) + "\n", encoding="utf-8")


def draw_blocks(folder: Path) -> None:
    """Writes one URDF for each block, with the mass, inertia and friction of CALVIN's."""
    for name, (x, y, z) in BLOCK_SIZES.items():
        robot = Xml.Element("robot", name=name)
        shape = box((-x / 2, x / 2), (-y / 2, y / 2), (-z / 2, z / 2), BLOCK_COLOURS[name])
        link = _add_link(robot, "base_link", 1.0, [shape], inertia=1.0)
        contact = Xml.Element("contact")
        Xml.SubElement(contact, "lateral_friction", value="0.7")
        Xml.SubElement(contact, "spinning_friction", value="0.001")
        link.insert(0, contact)
        _write(robot, folder / f"{name}.urdf")


if __name__ == "__main__":
    draw_table(HERE)
    draw_blocks(HERE)
