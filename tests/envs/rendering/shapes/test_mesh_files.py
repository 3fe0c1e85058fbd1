"""Mesh files: what is read from sound ones, and what is said of damaged ones."""

import struct
from pathlib import Path

import numpy as np
import pytest

from calvinbench.envs.rendering.shapes.mesh_files import NO_TEXTURE_COORDINATE, read_mesh

_LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258d\n"
_CORNERS = "v 0 0 0\nv 2 0 0\nv 2 1 0\nv 0 1 0\n"


def obj(folder: Path, text: str) -> Path:
    file = folder / "mesh.obj"
    file.write_text(text)
    return file


def stl(*triangles: tuple[tuple[float, ...], ...], named: int | None = None) -> bytes:
    """A binary STL: for each triangle a normal and three corners."""
    rows = b"".join(
        struct.pack("<12fH", *(number for vector in triangle for number in vector), 7) for triangle in triangles
    )
    return b"made by a test".ljust(80) + struct.pack("<I", len(triangles) if named is None else named) + rows


def test_an_obj_gives_each_corner_its_position_normal_and_texture_coordinate(tmp_path: Path):
    mesh = read_mesh(
        obj(
            tmp_path,
            "# a comment\no thing\n"
            + _CORNERS
            + "vt 0.25 0.5\nvt 1 0\nvt 0 1 0\nvn 0 0 1\nvn 0 1 0\ns off\nf 1/1/2 2/2/1 3/3/1\n",
        )
    )
    assert mesh.positions.tolist() == [[[0, 0, 0], [2, 0, 0], [2, 1, 0]]]
    assert mesh.normals.tolist() == [[[0, 1, 0], [0, 0, 1], [0, 0, 1]]]
    assert mesh.texture_coordinates.tolist() == [[[0.25, 0.5], [1, 0], [0, 1]]]
    assert mesh.texture is None


def test_an_obj_without_normals_gets_those_of_its_faces(tmp_path: Path):
    mesh = read_mesh(obj(tmp_path, _CORNERS + "v 0 0 3\nf 1 2 3\nf 1 4 5\n"))
    np.testing.assert_array_equal(mesh.normals, [[[0, 0, 1]] * 3, [[1, 0, 0]] * 3])
    assert (mesh.texture_coordinates == NO_TEXTURE_COORDINATE).all()


@pytest.mark.parametrize("face", ["f 1 2 3 4", "f -4 -3 -2 -1", "f 1// 2// 3// 4//"])
def test_a_polygon_becomes_a_fan(tmp_path: Path, face: str):
    mesh = read_mesh(obj(tmp_path, _CORNERS + face))
    assert mesh.positions.tolist() == [[[0, 0, 0], [2, 0, 0], [2, 1, 0]], [[0, 0, 0], [2, 1, 0], [0, 1, 0]]]


def test_the_texture_is_the_first_used_material_s_that_has_one(tmp_path: Path):
    (tmp_path / "mesh.mtl").write_text(
        "newmtl plain\nKd 1 0 0\nnewmtl unused\nmap_Kd unused.png\n"
        "newmtl elsewhere\nmap_Kd C:\\art\\lost.png\nnewmtl wood\nmap_Kd wood.png\nnewmtl steel\nmap_Kd steel.png\n"
    )
    faces = "usemtl plain\nf 1 2 3\nusemtl elsewhere\nf 1 2 3\nusemtl wood\nf 1 3 4\nusemtl steel\nf 1 2 4\n"
    file = obj(tmp_path, "mtllib mesh.mtl\n" + _CORNERS + faces)
    mesh = read_mesh(file)
    assert len(mesh.positions) == 4
    assert mesh.texture == tmp_path / "wood.png"
    file.write_text(file.read_text().replace("mtllib mesh.mtl", "mtllib gone.mtl"))
    assert read_mesh(file).texture is None


def test_an_stl_gives_a_triangle_its_own_normal(tmp_path: Path):
    file = tmp_path / "mesh.STL"
    file.write_bytes(stl(((0, 0, 1), (0, 0, 0), (1, 0, 0), (0, 1, 0)), ((0, 1, 0), (0, 2, 0), (0, 2, 1), (1, 2, 0.5))))
    mesh = read_mesh(file)
    assert mesh.positions.tolist() == [[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 2, 0], [0, 2, 1], [1, 2, 0.5]]]
    assert mesh.normals.tolist() == [[[0, 0, 1]] * 3, [[0, 1, 0]] * 3]
    assert (mesh.texture_coordinates == NO_TEXTURE_COORDINATE).all()


@pytest.mark.parametrize(
    "text",
    [
        "",
        _LFS_POINTER,
        _CORNERS,
        _CORNERS + "f 1 2 9\n",
        _CORNERS + "f 1 2 -9\n",
        _CORNERS + "f 0 1 2\n",
        _CORNERS + "f /1 /2 /3\n",
        _CORNERS + "vn 0 0 1\nf 1//1 2//1 3//-5\n",
        _CORNERS + "vt 0 0\nf 1/1 2/1 3/2\n",
        _CORNERS + "f 1 2 three\n",
        _CORNERS + "v 1.5 0.\nf 1 2 5\n",
        _CORNERS + "v 1.5 0 nan\nf 1 2 5\n",
    ],
    ids=["empty", "lfs", "no faces", "9", "-9", "0", "no position", "normal", "texture", "word", "cut line", "nan"],
)
def test_a_damaged_obj_is_named_with_a_remedy(tmp_path: Path, text: str):
    file = obj(tmp_path, text)
    with pytest.raises(ValueError, match=r"Get (it|the file) again") as refused:
        read_mesh(file)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [b"", _LFS_POINTER.encode(), stl(((0, 0, 1), (0, 0, 0), (1, 0, 0), (0, 1, 0)))[:-3], stl(), b"solid ascii\n" * 20],
    ids=["empty", "lfs", "cut", "no triangles", "text"],
)
def test_a_damaged_stl_is_named_with_a_remedy(tmp_path: Path, content: bytes):
    file = tmp_path / "mesh.stl"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"Get (it|the file) again") as refused:
        read_mesh(file)
    assert str(file) in str(refused.value)


def test_a_missing_mesh_and_one_of_another_kind_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"gone.obj.*Get the assets again"):
        read_mesh(tmp_path / "gone.obj")
    with pytest.raises(ValueError, match=r"expected a mesh as .obj or .stl, got .*mesh.dae"):
        read_mesh(tmp_path / "mesh.dae")
