"""The embedded scene: its drawings, its arm, its digest."""

from pathlib import Path

import pytest

from calvinbench.envs.assets import draw
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.panda import panda_urdf
from calvinbench.envs.scene import load_scene


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


def test_the_digest_is_steady_and_hangs_on_the_drawings(tmp_path: Path):
    scene = load_scene("embedded")
    assert scene.digest() == load_scene("embedded").digest()
    assert len(scene.digest()) == 64


def test_an_unknown_scene_is_refused():
    with pytest.raises(UnknownNameError, match="Unknown scene 'Q'"):
        load_scene("Q")
