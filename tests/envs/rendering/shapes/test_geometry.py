"""Prepared geometry: what is kept on the disk, and what happens where it cannot be read or written."""

import logging
import os
import stat
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calvinbench.envs.cameras import opengl_look
from calvinbench.envs.cameras.opengl_look import geometry_of
from calvinbench.envs.rendering.shapes.geometry import Geometry, cache_folder, keep_geometry, kept_geometry
from calvinbench.envs.rendering.shapes.primitives import box, sphere
from calvinbench.envs.scenes.loading import load_scene
from support.small_worlds import Thing, geometry_of_things, square


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CALVINBENCH_CACHE", str(tmp_path / "kept"))
    forget_shared()
    return tmp_path / "kept"


def forget_shared() -> None:
    """The worlds of a process share what one of them has read."""
    opengl_look._shared_geometry.cache_clear()


@pytest.fixture(scope="module")
def geometry(tmp_path_factory: pytest.TempPathFactory) -> Geometry:
    texture = tmp_path_factory.mktemp("textures") / "wood.png"
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(texture)
    meshes = (square(1.0, texture=texture), box(np.array([0.1, 0.2, 0.3])), sphere(0.1))
    return geometry_of_things([Thing(mesh, casts_shadow=number > 0) for number, mesh in enumerate(meshes)])


def require_equal(one: Geometry, other: Geometry) -> None:
    for part in fields(Geometry):
        ours, theirs = getattr(one, part.name), getattr(other, part.name)
        for field in fields(ours):
            a, b = getattr(ours, field.name), getattr(theirs, field.name)
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, field.name)


def test_what_is_kept_is_read_back_equal(folder: Path, geometry: Geometry):
    assert cache_folder() == folder
    assert kept_geometry("abc") is None
    keep_geometry("abc", geometry)
    kept = kept_geometry("abc")
    assert kept is not None
    require_equal(geometry, kept)
    assert kept_geometry("abd") is None
    assert [file.suffix for file in folder.iterdir()] == [".npz"]


def test_without_the_variable_the_user_s_cache_folder_is_taken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CALVINBENCH_CACHE", raising=False)
    assert cache_folder().name == "calvinbench"


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"not a zip" * 100,
        lambda content: content[:200] + bytes(300) + content[500:],
        lambda content: content[:-40],
        lambda content: content.replace(b"PK\x01\x02\x2d\x03\x2d\x00\x00\x00", b"PK\x01\x02\x2d\x03\x2d\x00\x01\x00"),
    ],
    ids=["empty", "half", "other", "scrambled", "end", "encrypted"],
)
def test_a_damaged_file_is_made_anew_with_a_warning(folder: Path, monkeypatch, caplog, damage):
    scene = load_scene("embedded")
    whole = geometry_of(scene)
    (file,) = folder.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    forget_shared()
    with caplog.at_level(logging.WARNING):
        require_equal(geometry_of(scene), whole)
    assert any(str(file) in record.getMessage() and "made again" in record.getMessage() for record in caplog.records)
    caplog.clear()
    forget_shared()
    monkeypatch.setattr(opengl_look, "make_geometry", None)  # and the new one is kept: nothing is made again
    require_equal(geometry_of(scene), whole)
    assert not caplog.records


def test_a_file_that_lacks_a_part_is_made_anew(folder: Path, geometry: Geometry, caplog):
    keep_geometry("abc", geometry)
    (file,) = folder.iterdir()
    with np.load(file) as arrays:
        np.savez(file, **{name: array for name, array in arrays.items() if name != "triangles.cones"})
    assert kept_geometry("abc") is None
    assert "made again" in caplog.text


def test_a_folder_that_cannot_be_written_is_no_error(geometry: Geometry, tmp_path: Path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CALVINBENCH_CACHE", str(tmp_path / "file" / "below"))
    forget_shared()
    keep_geometry("abc", geometry)
    assert kept_geometry("abc") is None
    assert len(geometry_of(load_scene("embedded")).shapes.links) > 20


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_no_error(geometry: Geometry, folder: Path):
    folder.mkdir()
    folder.chmod(stat.S_IREAD | stat.S_IEXEC)
    keep_geometry("abc", geometry)
    assert kept_geometry("abc") is None


def test_a_disk_that_fills_up_leaves_no_half_file(geometry: Geometry, folder: Path, monkeypatch):
    def full(stream, **_):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    keep_geometry("abc", geometry)
    assert list(folder.iterdir()) == []
