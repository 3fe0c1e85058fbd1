"""What a description refers to, and what a file that is not whole is told."""

from pathlib import Path

import pytest

from calvinbench.envs.scenes.calvin_checkout import CheckoutError
from calvinbench.envs.scenes.scene_files import material_files, mesh_names, require_whole

OBJ = b"mtllib it.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
STL = bytes(80) + (2).to_bytes(4, "little") + bytes(100)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20) + b"IEND\xaeB`\x82"
URDF = b"<robot><mesh filename='a.obj'/><mesh filename='b.STL'/><mesh filename='a.obj'/></robot>"


def test_meshes_are_named_once_in_their_order():
    assert mesh_names(URDF.decode()) == ["a.obj", "b.STL"]


def test_a_mesh_s_materials_and_their_textures_are_listed(tmp_path: Path):
    (tmp_path / "it.obj").write_bytes(OBJ)
    (tmp_path / "it.mtl").write_text("newmtl a\n  map_Kd ../wood.png\nmap_Kd D:\\dev\\colors.png\nmap_Ka cube.tga\n")
    assert material_files(tmp_path / "it.obj") == (tmp_path / "it.mtl", tmp_path / ".." / "wood.png")
    (tmp_path / "other.obj").write_text("mtllib link0.obj.mtl\n")
    assert material_files(tmp_path / "other.obj") == ()
    assert material_files(tmp_path / "it.STL") == ()


@pytest.mark.parametrize(("name", "content"), [("a.obj", OBJ), ("a.STL", STL), ("a.png", PNG), ("a.urdf", URDF)])
def test_a_whole_file_gives_its_content(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    assert require_whole(tmp_path / name) == content


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.obj", b"", "the file is empty"),
        ("a.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", r"git-lfs pointer.*git lfs pull"),
        ("a.obj", OBJ[:-4], "last line is cut off"),
        ("a.obj", b"<html>not found</html>\n", "no vertices or no faces"),
        ("a.obj", OBJ[:20] + b"\xff\x00" + OBJ[20:], "bytes that no OBJ mesh has"),
        ("a.STL", STL[:-1], "183 bytes instead of 184"),
        ("a.STL", b"short", "too short"),
        ("a.png", PNG[:-6], "end is cut off"),
        ("a.png", b"GIF89a", "no PNG image"),
        ("a.urdf", URDF[:-3], "no XML"),
        ("a.urdf", b"<html/>", "describes a 'html'"),
    ],
)
def test_a_damaged_file_is_named_with_its_remedy(tmp_path: Path, name: str, content: bytes, words: str):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(CheckoutError, match=words) as told:
        require_whole(file)
    assert str(file) in str(told.value)
    assert "install-calvin" in str(told.value)


def test_a_missing_file_means_a_half_downloaded_checkout(tmp_path: Path):
    with pytest.raises(CheckoutError, match=r"nowhere.obj', but the checkout lacks it: it is half downloaded"):
        require_whole(tmp_path / "nowhere.obj")
