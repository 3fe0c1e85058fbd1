"""URDF: numbers and colours as Bullet gives them, and what is said of descriptions that cannot be drawn."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from calvinbench.envs.bodies.bullet import BulletClient
from calvinbench.envs.rendering.shapes.descriptions import FIXED, PRISMATIC, REVOLUTE, Description, read_description
from calvinbench.envs.scenes.loading import load_scene
from calvinbench.envs.scenes.scene import Scene

_BOX = "<geometry><box size='0.2 0.4 0.6'/></geometry>"


@pytest.fixture(scope="module")
def client() -> Iterator[BulletClient]:
    made = BulletClient()
    yield made
    made.close()


@pytest.fixture(scope="module", params=["embedded", pytest.param("D", marks=pytest.mark.recorded)])
def scene(request: pytest.FixtureRequest) -> Scene:
    if request.param == "embedded":
        return load_scene("embedded")
    return load_scene(request.param, request.getfixturevalue("recordings") / "calvin_env")


@pytest.fixture(scope="module", params=["robot", "table", "block"])
def urdf(request: pytest.FixtureRequest, scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "robot":
        file = tmp_path_factory.mktemp("robot") / "robot.urdf"
        file.write_text(scene.robot_urdf)
        return file
    return scene.table_urdf if request.param == "table" else scene.block_urdfs["block_red"]


@pytest.fixture(scope="module")
def body(client: BulletClient, urdf: Path) -> int:
    """Read by Bullet. Reading the meshes takes most of the time, so the tests of a file share it."""
    return client.loadURDF(urdf.as_posix(), useFixedBase=True)


@pytest.fixture(scope="module")
def description(urdf: Path) -> Description:
    """Read by us."""
    return read_description(urdf.read_text(), urdf.parent)


def test_joints_are_numbered_and_move_as_bullet_says(client: BulletClient, body: int, description: Description):
    joints = [client.getJointInfo(body, number) for number in range(client.getNumJoints(body))]
    skeleton = description.skeleton
    motions = {client.JOINT_FIXED: FIXED, client.JOINT_REVOLUTE: REVOLUTE, client.JOINT_PRISMATIC: PRISMATIC}
    assert skeleton.parents.tolist() == [joint[16] for joint in joints]
    assert skeleton.motions.tolist() == [motions[joint[2]] for joint in joints]
    for axis, motion, joint in zip(skeleton.axes, skeleton.motions, joints, strict=True):
        if motion != FIXED:
            np.testing.assert_allclose(axis, joint[13], atol=1e-6)


def test_shapes_have_the_links_and_colours_that_bullet_gives_them(
    client: BulletClient, body: int, description: Description
):
    theirs = [
        (shape[1], np.round(shape[7][:3], 6).tolist()) for shape in client.getVisualShapeData(body) if shape[7][3]
    ]
    ours = [(shape.link, np.round(shape.colour, 6).tolist()) for shape in description.shapes]
    assert ours == theirs


def test_centres_of_mass_are_those_of_bullet(client: BulletClient, body: int, description: Description):
    for shape in description.shapes:
        np.testing.assert_allclose(shape.centre, client.getDynamicsInfo(body, shape.link)[3], atol=1e-9)


def robot(*links: str, joints: str = "") -> str:
    return f"<?xml version='0.0'?><robot name='r'>{''.join(links)}{joints}</robot>"


def link(name: str, content: str = "") -> str:
    return f"<link name='{name}'>{content}</link>"


def joint(parent: str, child: str, kind: str = "fixed", content: str = "") -> str:
    return f"<joint name='{child}' type='{kind}'><parent link='{parent}'/><child link='{child}'/>{content}</joint>"


def visual(material: str = "", geometry: str = _BOX, origin: str = "") -> str:
    return f"<visual>{origin}{geometry}{material}</visual>"


def painted(name: str, rgba: str = "") -> str:
    colour = f"<color rgba='{rgba}'/>" if rgba else ""
    return f"<material name='{name}'>{colour}</material>"


def test_of_materials_with_one_name_the_last_counts():
    text = robot(
        painted("wood", "1 0 0 1"),
        link("a", visual(painted("wood", "0 1 0 1")) + visual(painted("wood"))),
        link("b", visual(painted("wood", "0 0 1 1"))),
        joints=joint("a", "b"),
    )
    assert [shape.colour for shape in read_description(text, Path()).shapes] == [(0.0, 0.0, 1.0)] * 3


def test_without_a_material_the_link_s_number_gives_the_colour():
    names = [f"link{number}" for number in range(6)]
    text = robot(*(link(name, visual()) for name in names), joints="".join(joint("link0", name) for name in names[1:]))
    green, yellow, red, blue = (60, 186, 84), (244, 194, 13), (219, 50, 54), (72, 133, 237)
    colours = [np.array(shape.colour) * 256 for shape in read_description(text, Path()).shapes]
    np.testing.assert_allclose(colours, [green, green, yellow, red, blue, green])


def test_what_is_transparent_through_and_through_is_left_out():
    text = robot(link("a", visual(painted("glass", "1 1 1 0")) + visual(painted("milk", "1 1 1 0.5"))))
    assert len(read_description(text, Path()).shapes) == 1


def test_a_link_without_a_visual_shows_what_it_collides_with():
    collision = f"<collision>{_BOX}</collision>"
    assert len(read_description(robot(link("a", collision)), Path()).shapes) == 1
    assert len(read_description(robot(link("a", collision + collision + visual())), Path()).shapes) == 1


def test_scaling_multiplies_all_lengths():
    origin = "<origin xyz='1 2 3' rpy='0 0 1.5707963267948966'/>"
    inertial = "<inertial><origin xyz='0 0.5 0'/><mass value='1'/></inertial>"
    text = robot(link("a"), link("b", inertial + visual(origin=origin)), joints=joint("a", "b", "prismatic", origin))
    description = read_description(text, Path(), scaling=0.5)
    (shape,) = description.shapes
    corners = shape.mesh.positions.reshape(-1, 3)
    # A box of 0.1 x 0.2 x 0.3 m, turned by a quarter.
    np.testing.assert_allclose(corners.min(axis=0), (0.4, 0.95, 1.35), atol=1e-6)
    np.testing.assert_allclose(corners.max(axis=0), (0.6, 1.05, 1.65), atol=1e-6)
    np.testing.assert_allclose(description.skeleton.frames[0, :3, 3], (0.5, 1.0, 1.5))
    assert shape.centre == (0.0, 0.25, 0.0)


def test_meshes_are_scaled_turned_and_found_beside_the_description(tmp_path: Path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/tile.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nvn 0 0 1\nf 1//1 2//1 3//1\n")
    mesh = "<geometry><mesh filename='package://parts/tile.obj' scale='2 3 1'/></geometry>"
    origin = "<origin xyz='0 0 1' rpy='1.5707963267948966 0 0'/>"
    (shape,) = read_description(robot(link("a", visual(geometry=mesh, origin=origin))), tmp_path, scaling=0.1).shapes
    np.testing.assert_allclose(shape.mesh.positions, [[(0, 0, 0.1), (0.2, 0, 0.1), (0, 0, 0.4)]], atol=1e-6)
    np.testing.assert_allclose(shape.mesh.normals, [[(0, -1, 0)] * 3], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<robot><link name='a'>", "it is no XML.*Get the file again"),
        ("", "it is no XML"),
        ("<robot/>", "one base link, got none"),
        (robot(link("a"), link("b")), r"one base link, got \['a', 'b'\]"),
        (
            robot(link("a"), link("b"), link("c"), joints=joint("b", "c") + joint("c", "b")),
            "connected to one base, got",
        ),
        (robot(link("a"), link("b"), joints=joint("z", "b")), "connected to one base, got"),
        (robot(link("a"), joints=joint("a", "b")), "'b'"),
        (robot(link("a"), link("b"), joints=joint("a", "b", "ball")), "type fixed, .*got 'ball' in 'b'"),
        (robot(link("a"), link("b"), joints="<joint name='b' type='fixed'><parent link='a'/></joint>"), "<child>"),
        (robot(link("a"), link("b"), joints=joint("a", "b").replace("type=", "kind=")), "'type'"),
        (robot("<link/>"), "'name'"),
        (robot(link("a", visual(geometry="<geometry><capsule radius='1' length='2'/></geometry>"))), "got <capsule>"),
        (robot(link("a", visual(geometry="<geometry><box/></geometry>"))), "got <box>"),
        (robot(link("a", visual(geometry="<geometry/>"))), "mesh, box, cylinder or sphere"),
        (robot(link("a", visual(geometry=""))), "<geometry> in <visual"),
        (robot(link("a", visual(painted("m", "1 1 1")))), "4 numbers.*'1 1 1'"),
        (robot(link("a", visual(geometry="<geometry><box size='1 2'/></geometry>"))), "3 numbers.*'1 2'"),
        (robot(link("a", visual(origin="<origin xyz='1 2 x'/>"))), "3 numbers.*'1 2 x'"),
        (robot(link("a", visual(origin="<origin rpy='1'/>"))), "3 numbers.*'1'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(text: str, words: str):
    with pytest.raises(ValueError, match=words):
        read_description(text, Path("somewhere"))


def test_a_missing_mesh_is_named(tmp_path: Path):
    mesh = "<geometry><mesh filename='gone.obj'/></geometry>"
    with pytest.raises(FileNotFoundError, match=r"gone.obj.*Get the assets again"):
        read_description(robot(link("a", visual(geometry=mesh))), tmp_path)
