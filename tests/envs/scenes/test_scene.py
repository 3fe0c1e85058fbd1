"""The embedded scene: its drawings, its arm, its digest."""

import shutil
from dataclasses import replace
from pathlib import Path

import pybullet_data
import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.scenes.assets import draw
from calvinbench.envs.scenes.loading import load_scene
from calvinbench.envs.scenes.panda import panda_urdf
from calvinbench.envs.scenes.scene import Scene


def test_the_shipped_drawings_are_what_the_script_draws(tmp_path: Path):
    draw.draw_table(tmp_path)
    draw.draw_blocks(tmp_path)
    drawn = sorted(tmp_path.iterdir())
    assert {file.name for file in drawn} == {
        *("table.urdf", "wedge.obj", "block_red.urdf", "block_blue.urdf", "block_pink.urdf")
    }
    for file in drawn:
        assert file.read_text() == (draw.HERE / file.name).read_text(), f"{file.name}: run draw.py and commit"


def test_the_arm_has_our_fingers_camera_and_tool_point():
    urdf = panda_urdf()
    assert "package://" not in urdf
    assert "meshes/visual" not in urdf
    for link in ("gripper_cam", "tcp", "panda_leftfinger", "panda_rightfinger"):
        assert urdf.count(f'<link name="{link}">') == 1


def test_the_digest_is_steady_and_does_not_hang_on_the_place(tmp_path: Path):
    scene = load_scene("embedded")
    assert scene.digest() == load_scene("embedded").digest()
    copy = copied(scene, tmp_path)
    assert copy.table_urdf != scene.table_urdf
    assert copy.digest() == scene.digest()


@pytest.mark.parametrize(
    "name", ["table.urdf", "block_red.urdf", "wedge.obj", "franka_panda/meshes/collision/hand.obj"]
)
def test_the_digest_changes_with_every_file_that_is_loaded(name: str, tmp_path: Path):
    scene = copied(load_scene("embedded"), tmp_path)
    before = scene.digest()
    file = tmp_path / name
    file.write_text(file.read_text().replace("0", "1", 1))
    assert scene.digest() != before


def test_the_digest_changes_with_the_scale():
    scene = load_scene("embedded")
    assert replace(scene, global_scaling=0.8).digest() != scene.digest()


def copied(scene: Scene, folder: Path) -> Scene:
    """The same scene, read from copies of its files."""
    shutil.copytree(scene.table_urdf.parent, folder, dirs_exist_ok=True)
    shutil.copytree(Path(pybullet_data.getDataPath()) / "franka_panda", folder / "franka_panda")
    return replace(
        scene,
        robot_urdf=scene.robot_urdf.replace(pybullet_data.getDataPath(), str(folder)),
        table_urdf=folder / scene.table_urdf.name,
        block_urdfs={name: folder / file.name for name, file in scene.block_urdfs.items()},
    )


def test_an_unknown_scene_is_refused():
    with pytest.raises(UnknownNameError, match="Unknown scene 'Q'"):
        load_scene("Q")
