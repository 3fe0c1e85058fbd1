"""Small worlds for tests of the renderer: a few meshes, a camera anywhere, and no simulation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calvinbench.envs.rendering.rendered import View
from calvinbench.envs.rendering.renderer import Renderer
from calvinbench.envs.rendering.shadow_map import light_direction
from calvinbench.envs.rendering.shapes.descriptions import Description, Shape, single_shape
from calvinbench.envs.rendering.shapes.geometry import Geometry, make_geometry
from calvinbench.envs.rendering.shapes.mesh_files import NO_TEXTURE_COORDINATE, Mesh

AWAY_FROM_LIGHT = tuple(light_direction())
"""A normal that makes a surface have half of its colour, whatever stands around it."""
UP = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Thing:
    """Something to be drawn; `centre_m` is where Bullet would say that its link's mass is."""

    mesh: Mesh
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    centre_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    casts_shadow: bool = True


def mesh_of(triangles, normal=None, coordinates=None, texture: Path | None = None) -> Mesh:
    """A mesh of triangles (n, 3, 3) with one normal everywhere, each triangle's own unless told."""
    positions = np.array(triangles, dtype=np.float32).reshape(-1, 3, 3)
    own = np.cross(positions[:, 1] - positions[:, 0], positions[:, 2] - positions[:, 0])
    own = own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-30)
    normals = np.broadcast_to(own[:, None] if normal is None else np.array(normal), positions.shape)
    if coordinates is None:
        coordinates = np.full((len(positions), 3, 2), NO_TEXTURE_COORDINATE)
    return Mesh(positions, normals.astype(np.float32), np.array(coordinates, dtype=np.float32), texture)


def square(half_m: float, height_m: float = 0.0, *, normal=UP, coordinates=None, texture: Path | None = None) -> Mesh:
    """A level square around the z axis, seen from above; u grows with x and v with y."""
    corners = [(-half_m, -half_m), (half_m, -half_m), (half_m, half_m), (-half_m, half_m)]
    points = np.array([(x, y, height_m) for x, y in corners])
    uv = np.array([(0, 0), (1, 0), (1, 1), (0, 1)] if coordinates is None else coordinates)
    order = [[0, 1, 2], [0, 2, 3]]
    return mesh_of(points[order], normal, uv[order], texture)


def geometry_of_things(things: Sequence[Thing]) -> Geometry:
    bodies = []
    for thing in things:
        body = single_shape(thing.mesh, thing.colour, (0.0, 0.0, 0.0))
        bodies.append(Description(body.skeleton, (Shape(-1, thing.mesh, thing.colour, thing.centre_m),)))
    return make_geometry(bodies, [thing.casts_shadow for thing in things])


def frames_at(*positions) -> np.ndarray:
    """Frames without rotation at places, (n, 4, 4)."""
    frames = np.tile(np.eye(4), (len(positions), 1, 1))
    frames[:, :3, 3] = positions
    return frames


def renderer_of(things: Sequence[Thing], depth_bits: int = 24) -> Renderer:
    """A renderer that has looked at things standing where their meshes put them."""
    renderer = Renderer(geometry_of_things(things), depth_bits)
    renderer.update(frames_at(*[(0.0, 0.0, 0.0)] * len(things)))
    return renderer


def view_from(
    eye, at, *, size: int = 64, fov_degrees: float = 60.0, near_m: float = 0.01, far_m: float = 20.0, up=(0.0, 1.0, 0.0)
) -> View:
    """A square camera at a place that looks at another; OpenGL's matrices from their definition."""
    eye, at, up = (np.array(vector, dtype=float) for vector in (eye, at, up))
    backward = (eye - at) / np.linalg.norm(eye - at)
    right = np.cross(up, backward) / np.linalg.norm(np.cross(up, backward))
    view = np.eye(4)
    view[:3, :3] = right, np.cross(backward, right), backward
    view[:3, 3] = -view[:3, :3] @ eye
    scale = 1 / np.tan(np.radians(fov_degrees) / 2)
    lens = np.zeros((4, 4))
    lens[0, 0] = lens[1, 1] = scale
    lens[2, 2:] = (near_m + far_m) / (near_m - far_m), 2 * near_m * far_m / (near_m - far_m)
    lens[3, 2] = -1
    return View(tuple(view.T.ravel().tolist()), tuple(lens.T.ravel().tolist()), size)


def depth_m(z_buffer: np.ndarray, near_m: float = 0.01, far_m: float = 20.0) -> np.ndarray:
    """Distances along the camera's axis."""
    return far_m * near_m / (far_m - (far_m - near_m) * z_buffer.astype(float))


def tag(number: int) -> tuple[float, float, float]:
    """A colour that `tags` reads back from a surface with the normal `AWAY_FROM_LIGHT`; 0 to 9999."""
    return (number % 100 * 2 / 255, number // 100 * 2 / 255, 0.0)


def tags(rgb: np.ndarray) -> np.ndarray:
    """The number of the thing at each pixel, -1 for the background."""
    found = rgb[:, :, 0].astype(int) + 100 * rgb[:, :, 1].astype(int)
    return np.where(rgb[:, :, 2] == 0, found, -1)
