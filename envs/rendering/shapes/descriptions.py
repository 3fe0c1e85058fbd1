"""What is drawn, read from URDF files: links, the joints between them, and the shapes on each link."""

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
from jaxtyping import Float64, Int64

from calvinbench.envs.rendering.shapes.mesh_files import Mesh, read_mesh
from calvinbench.envs.rendering.shapes.primitives import box, cylinder, sphere

FIXED, REVOLUTE, PRISMATIC = 0, 1, 2
_MOTIONS = {"fixed": FIXED, "revolute": REVOLUTE, "continuous": REVOLUTE, "prismatic": PRISMATIC}
_LINK_COLOURS = (
    (60 / 256, 186 / 256, 84 / 256, 1.0),
    (244 / 256, 194 / 256, 13 / 256, 1.0),
    (219 / 256, 50 / 256, 54 / 256, 1.0),
    (72 / 256, 133 / 256, 237 / 256, 1.0),
)
"""What Bullet gives to shapes without a material, by the last two bits of the link's number (its `sColors`)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One visible thing on a link.

    Attributes:
        link: The link's number as Bullet counts, -1 for the base.
        mesh: Triangles in the link's frame.
        colour: Red, green, blue in 0..1; a texture is multiplied by it.
        centre: The link's centre of mass in its frame, metres.
    """

    link: int
    mesh: Mesh
    colour: tuple[float, float, float]
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Links and their joints. Joint i connects link i to its parent.

    Attributes:
        parents: Number of the parent link, -1 for the base; always below the link's own.
        frames: Position and orientation of the joint in the parent's frame.
        motions: `FIXED`, `REVOLUTE` or `PRISMATIC`.
        axes: Unit vectors in the joint's frame.
        base_frame: The base's own frame, relative to the frame that Bullet reports, which is at the centre of mass.
    """

    parents: Int64[np.ndarray, " links"]
    frames: Float64[np.ndarray, "links 4 4"]
    motions: Int64[np.ndarray, " links"]
    axes: Float64[np.ndarray, "links 3"]
    base_frame: Float64[np.ndarray, "4 4"]


@dataclass(frozen=True, slots=True)
class Description:
    """The shapes of one body, and its joints."""

    skeleton: Skeleton
    shapes: tuple[Shape, ...]


def read_description(urdf: str, folder: Path, scaling: float = 1.0) -> Description:
    """Reads a URDF as Bullet does.

    Args:
        urdf: The text of the description.
        folder: The folder that relative paths of meshes refer to.
        scaling: Factor of all lengths.

    Raises:
        ValueError: The text is no URDF, or has a shape or joint that cannot be drawn.
        FileNotFoundError: A mesh is missing.
    """
    try:
        # Some files declare an XML version that does not exist. Bullet ignores it.
        robot = Xml.fromstring(re.sub(r"^\s*<\?xml.*?\?>", "", urdf))  # noqa: S314  (assets that the user chose)
    except Xml.ParseError as error:
        raise ValueError(f"expected a URDF in {folder}, but it is no XML: {error}. Get the file again.") from error
    try:
        return _describe(robot, folder, scaling)
    except KeyError as error:
        raise ValueError(f"expected {error} in a URDF in {folder}, found none. Get the file again.") from error


def _describe(robot: Xml.Element, folder: Path, scaling: float) -> Description:
    joints = _ordered_joints(robot)
    links = {link.attrib["name"]: link for link in robot.findall("link")}
    numbers = {_child(joint): number for number, joint in enumerate(joints)}
    bases = [name for name in links if name not in numbers]
    if len(bases) != 1:
        raise ValueError(f"expected a URDF whose links are all connected to one base, got bases {', '.join(bases)}.")
    numbers[bases[0]] = -1
    colours = _material_colours(robot)
    shapes = [
        Shape(
            number,
            _transformed(_mesh(element, folder, scaling), _frame(element, scaling)),
            colour,
            tuple(_frame(links[name].find("inertial"), scaling)[:3, 3].tolist()),
        )
        for name, number in sorted(numbers.items(), key=lambda item: item[1])
        for element, colour in _visible(links[name], number, colours)
    ]
    skeleton = Skeleton(
        parents=np.array([numbers[_parent(joint)] for joint in joints], dtype=np.int64),
        frames=np.array([_frame(joint, scaling) for joint in joints], dtype=np.float64).reshape(-1, 4, 4),
        motions=np.array([_motion(joint) for joint in joints], dtype=np.int64),
        axes=np.array([_axis(joint) for joint in joints], dtype=np.float64).reshape(-1, 3),
        base_frame=np.linalg.inv(_frame(links[bases[0]].find("inertial"), scaling)),
    )
    return Description(skeleton, tuple(shapes))


def single_shape(mesh: Mesh, colour: tuple[float, float, float], position: tuple[float, float, float]) -> Description:
    """A body with a single shape and without a URDF, at a place in the body's frame."""
    frame = np.eye(4)
    frame[:3, 3] = position
    nothing = np.zeros(0, dtype=np.int64)
    skeleton = Skeleton(nothing, np.zeros((0, 4, 4)), nothing, np.zeros((0, 3)), np.eye(4))
    return Description(skeleton, (Shape(-1, _transformed(mesh, frame), colour),))


def _ordered_joints(robot: Xml.Element) -> list[Xml.Element]:
    """Joints as Bullet numbers them: depth first from the base, siblings in the file's order."""
    joints = robot.findall("joint")
    children = {_child(joint) for joint in joints}
    roots = [link.attrib["name"] for link in robot.findall("link") if link.attrib["name"] not in children]
    if len(roots) != 1:
        raise ValueError(f"expected a URDF with one base link, got {roots or 'none'}.")
    ordered: list[Xml.Element] = []

    def visit(link: str) -> None:
        for joint in joints:
            if _parent(joint) == link:
                ordered.append(joint)
                visit(_child(joint))

    visit(roots[0])
    return ordered


def _child(joint: Xml.Element) -> str:
    return _required(joint, "child").attrib["link"]


def _parent(joint: Xml.Element) -> str:
    return _required(joint, "parent").attrib["link"]


def _required(element: Xml.Element, tag: str) -> Xml.Element:
    found = element.find(tag)
    if found is None:
        raise ValueError(f"expected <{tag}> in <{element.tag} name='{element.get('name')}'>, found none.")
    return found


def _motion(joint: Xml.Element) -> int:
    kind = joint.attrib["type"]
    if kind not in _MOTIONS:
        raise ValueError(f"expected a joint of type {', '.join(_MOTIONS)}, got '{kind}' in '{joint.get('name')}'.")
    return _MOTIONS[kind]


def _axis(joint: Xml.Element) -> Float64[np.ndarray, "3"]:
    element = joint.find("axis")
    axis = np.array([1.0, 0.0, 0.0]) if element is None else _vector(element.attrib["xyz"])
    length = float(np.linalg.norm(axis))
    return axis / length if length > 0 else axis


def _vector(text: str, length: int = 3) -> Float64[np.ndarray, " n"]:
    try:
        vector = np.array(text.split(), dtype=np.float64)
    except ValueError:
        vector = np.zeros(0)
    if len(vector) != length:
        raise ValueError(f"expected {length} numbers, got '{text}'. Get the file again.")
    return vector


def _frame(element: Xml.Element | None, scaling: float) -> Float64[np.ndarray, "4 4"]:
    """The `<origin>` of an element as a matrix; the identity without one."""
    frame = np.eye(4)
    origin = None if element is None else element.find("origin")
    if origin is None:
        return frame
    roll, pitch, yaw = _vector(origin.get("rpy", "0 0 0"))
    frame[:3, :3] = _turn(2, yaw) @ _turn(1, pitch) @ _turn(0, roll)
    frame[:3, 3] = _vector(origin.get("xyz", "0 0 0")) * scaling
    return frame


def _turn(axis: int, angle: float) -> Float64[np.ndarray, "3 3"]:
    turn = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turn[[i, j], [i, j]] = np.cos(angle)
    turn[j, i], turn[i, j] = np.sin(angle), -np.sin(angle)
    return turn


def _material_colours(robot: Xml.Element) -> dict[str, tuple[float, ...]]:
    """Colours by name. If several have one name, the last one counts, wherever it is in the file."""
    colours = {}
    for material in robot.iter("material"):
        colour = material.find("color")
        if colour is not None:
            colours[material.get("name", "")] = tuple(_vector(colour.attrib["rgba"], 4))
    return colours


def _visible(
    link: Xml.Element, number: int, colours: dict[str, tuple[float, ...]]
) -> list[tuple[Xml.Element, tuple[float, float, float]]]:
    """A link's visual elements with their colours. Without any, Bullet shows the collision elements."""
    default = _LINK_COLOURS[max(number, 0) & 3]
    found = []
    for element in link.findall("visual") or link.findall("collision"):
        material = element.find("material")
        red, green, blue, alpha = colours.get("" if material is None else material.get("name", ""), default)
        if alpha > 0:
            found.append((element, (float(red), float(green), float(blue))))
    return found


def _mesh(element: Xml.Element, folder: Path, scaling: float) -> Mesh:
    """The triangles of a `<geometry>`, scaled."""
    geometry = _required(element, "geometry")
    shape = next(iter(geometry), None)
    match None if shape is None else shape.tag, {} if shape is None else shape.attrib:
        case "mesh", {"filename": name, **rest}:
            mesh = read_mesh(_mesh_file(name, folder))
            scale = (_vector(rest.get("scale", "1 1 1")) * scaling).astype(np.float32)
            return Mesh(mesh.positions * scale, mesh.normals, mesh.texture_coordinates, mesh.texture)
        case "box", {"size": size}:
            return box(_vector(size) * scaling)
        case "cylinder", {"radius": radius, "length": length}:
            return cylinder(float(radius) * scaling, float(length) * scaling)
        case "sphere", {"radius": radius}:
            return sphere(float(radius) * scaling)
        case tag, _:
            raise ValueError(f"expected a mesh, box, cylinder or sphere to draw, got <{tag}>.")


def _mesh_file(name: str, folder: Path) -> Path:
    """The file that a URDF names. `package://` means the folder of the URDF, as in Bullet."""
    return folder / name.removeprefix("package://")


def _transformed(mesh: Mesh, frame: Float64[np.ndarray, "4 4"]) -> Mesh:
    """The mesh, moved by a frame."""
    return Mesh(
        (mesh.positions @ frame[:3, :3].T + frame[:3, 3]).astype(np.float32),
        (mesh.normals @ frame[:3, :3].T).astype(np.float32),
        mesh.texture_coordinates,
        mesh.texture,
    )
