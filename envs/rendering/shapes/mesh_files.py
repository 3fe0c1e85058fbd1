"""Triangles from mesh files (OBJ, STL), read as Bullet reads them for its images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int64

NO_TEXTURE_COORDINATE = 0.5
"""Texture coordinates that Bullet gives to corners without any."""
_ABSENT = 2**40
"""A number that a face of an OBJ leaves out."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles with their corners in the mesh's own frame.

    Attributes:
        positions: Corners in metres; seen from outside they run counter-clockwise.
        normals: A normal at each corner; not always of length 1.
        texture_coordinates: u and v at each corner; the lower left of the image is (0, 0).
        texture: The file of the image on it, if any.
    """

    positions: Float32[np.ndarray, "n 3 3"]
    normals: Float32[np.ndarray, "n 3 3"]
    texture_coordinates: Float32[np.ndarray, "n 3 2"]
    texture: Path | None = None


def read_mesh(file: Path) -> Mesh:
    """Reads a mesh.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is of another kind, or damaged.
    """
    readers = {".obj": _read_obj, ".stl": _read_stl}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise ValueError(f"expected a mesh as .obj or .stl, got {file}.")
    if not file.is_file():
        raise FileNotFoundError(f"expected a mesh at {file}, found nothing. Get the assets again.")
    try:
        mesh = reader(file)
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ValueError(
            f"expected a mesh in {file} ({file.stat().st_size} bytes), but it cannot be read: {error}. The file is "
            "damaged or was not downloaded whole (with git-lfs: `git lfs pull`). Get it again."
        ) from error
    if not len(mesh.positions) or not np.isfinite(mesh.positions).all():
        raise ValueError(f"expected finite triangles in {file}, found none or others. Get the file again.")
    return mesh


def _read_stl(file: Path) -> Mesh:
    """Binary STL: 80 bytes, the number of triangles, then for each a normal, three corners and two unused bytes."""
    content = file.read_bytes()
    if len(content) < 84:
        raise ValueError("it is shorter than an STL header")
    num_triangles = int.from_bytes(content[80:84], "little")
    if len(content) < 84 + 50 * num_triangles:
        raise ValueError(f"it names {num_triangles} triangles, which need {84 + 50 * num_triangles} bytes")
    rows = np.frombuffer(content, np.uint8, 50 * num_triangles, 84).reshape(num_triangles, 50)
    vectors = np.ascontiguousarray(rows[:, :48]).view("<f4").reshape(num_triangles, 4, 3).astype(np.float32)
    return Mesh(
        positions=vectors[:, 1:].copy(),
        normals=np.repeat(vectors[:, :1], 3, axis=1),
        texture_coordinates=np.full((num_triangles, 3, 2), NO_TEXTURE_COORDINATE, np.float32),
    )


def _read_obj(file: Path) -> Mesh:
    """Wavefront OBJ. Polygons become fans of triangles. Of several materials, the first with a texture is used."""
    lines: dict[str, list[str]] = {"v": [], "vn": [], "vt": [], "f": [], "mtllib": [], "usemtl": []}
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        keyword, _, rest = line.strip().partition(" ")
        if keyword in lines:
            lines[keyword].append(rest)
    vertices = _numbers(lines["v"], 3)
    normals = _numbers(lines["vn"], 3)
    coordinates = _numbers(lines["vt"], 2)
    corners = _triangle_corners(lines["f"], (len(vertices), len(coordinates), len(normals)))
    positions = vertices[corners[:, :, 0]]
    texture_coordinates = np.full((len(corners), 3, 2), NO_TEXTURE_COORDINATE)
    if len(coordinates):
        texture_coordinates = np.where(corners[:, :, 1:2] >= 0, coordinates[corners[:, :, 1]], 0.0)
    corner_normals = np.repeat(_face_normals(positions)[:, np.newaxis], 3, axis=1)
    has_normals = (corners[:, :, 2] >= 0).all(axis=1)
    corner_normals[has_normals] = normals[corners[has_normals][:, :, 2]] if len(normals) else 0.0
    return Mesh(
        positions.astype(np.float32),
        corner_normals.astype(np.float32),
        texture_coordinates.astype(np.float32),
        _first_texture(file, lines["mtllib"], lines["usemtl"]),
    )


def _numbers(lines: list[str], count: int) -> Float64[np.ndarray, "n {count}"]:
    """The first numbers of each line; Bullet reads them with 32 bits."""
    rows = [line.split()[:count] for line in lines]
    return np.array(rows, dtype=np.float32).reshape(len(rows), count).astype(np.float64)


def _triangle_corners(faces: list[str], lengths: tuple[int, int, int]) -> Int64[np.ndarray, "n 3 3"]:
    """For each corner of each triangle, the numbers of its position, texture coordinate and normal; -1 for none."""
    triangles: list[list[list[int]]] = []
    for face in faces:
        corners = []
        for word in face.split():
            numbers = (word.split("/") + ["", ""])[:3]
            corners.append([int(number) if number else _ABSENT for number in numbers])
        triangles.extend([corners[0], corners[i - 1], corners[i]] for i in range(2, len(corners)))
    named = np.array(triangles, dtype=np.int64).reshape(-1, 3, 3)
    # OBJ counts from 1, or from the end with negative numbers.
    indices = np.where(named > 0, named - 1, named + np.array(lengths))
    is_absent = named == _ABSENT
    is_absent[:, :, 0] = False
    if not ((indices >= 0) & (indices < lengths) | is_absent).all():
        raise ValueError("a face names a corner that is not there")
    indices[is_absent] = -1
    return indices


def _face_normals(positions: Float64[np.ndarray, "n 3 3"]) -> Float64[np.ndarray, "n 3"]:
    """Unit normals; zero for triangles without an area."""
    normals = np.cross(positions[:, 1] - positions[:, 0], positions[:, 2] - positions[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.where(lengths > 1.5e-8, lengths, np.inf)


def _first_texture(file: Path, libraries: list[str], used: list[str]) -> Path | None:
    """The texture of the first used material that has one, from the mesh's material library."""
    textures: dict[str, str] = {}
    for library in libraries:
        path = file.parent / library.strip()
        if not path.is_file():
            continue
        material = ""
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if words[:1] == ["newmtl"] and len(words) > 1:
                material = words[1]
            elif words[:1] == ["map_Kd"] and len(words) > 1 and "\\" not in words[-1]:
                # A path with backslashes belongs to its author's machine. Bullet does not find it either.
                textures[material] = words[-1]
    for material in used:
        if material.strip() in textures:
            return file.parent / textures[material.strip()]
    return None
