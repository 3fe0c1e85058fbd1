"""All triangles of a world, in blocks of neighbours that face about the same way."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from calvinbench.envs.rendering.shapes.mesh_files import Mesh

BLOCK = 64
"""Triangles in a block."""
GROUP = 16
"""Triangles whose corners are side by side in memory: 16 float32 fill a line of a processor's cache."""
_NORMAL_WEIGHT = 0.7
"""Weight of a triangle's direction when blocks are made; its place, in units of the shape's size, has weight 1."""
_TOO_WIDE = 2.0
"""The sine that stands for cones whose normals spread over more than half of all directions."""


@dataclass(frozen=True, slots=True)
class Triangles:
    """Triangles of all shapes, in blocks of 64 of one shape.

    Attributes:
        corners: For each block four groups of 16 triangles. A group has x of 16 first corners, then y, then z, then the
            second and third corners. So the numbers that are needed together are together in memory, too.
        numbers: The triangles' numbers, which count through all shapes.
        block_shapes: Which shape each block belongs to.
        first_blocks: Shape s has blocks first_blocks[s] to first_blocks[s + 1] - 1.
        spheres: Centre and radius of a sphere around each block.
        cones: Mean normal of each block, and the sine of the widest angle between it and the block's normals; 2 beyond
            90 degrees.
        attributes: For each triangle, by number, the first corner, the two edges that begin there, the normals at its
            corners and its texture coordinates: 3 + 6 + 9 + 6 numbers.
        shapes: Which shape each triangle belongs to, by number.
        bounds: Centre and radius of a sphere around each shape.
    """

    corners: Float32[np.ndarray, "blocks 576"]
    numbers: Int32[np.ndarray, "blocks 64"]
    block_shapes: Int32[np.ndarray, " blocks"]
    first_blocks: Int32[np.ndarray, " shapes_and_1"]
    spheres: Float32[np.ndarray, "blocks 4"]
    cones: Float32[np.ndarray, "blocks 4"]
    attributes: Float32[np.ndarray, "triangles 24"]
    shapes: Int32[np.ndarray, " triangles"]
    bounds: Float32[np.ndarray, "shapes 4"]


def make_blocks(meshes: Sequence[Mesh]) -> Triangles:
    """Sorts the triangles of shapes into blocks."""
    corners, numbers, block_shapes, spheres, cones = [], [], [], [], []
    first_blocks, first_number = [0], 0
    for shape, mesh in enumerate(meshes):
        positions = mesh.positions.astype(np.float64)
        normals = _unit_normals(positions)
        for members in _neighbourhoods(positions, normals):
            # A block that is not full repeats a corner. A triangle without area is never visible.
            block = np.broadcast_to(mesh.positions[members[0], 0], (BLOCK, 3, 3)).copy()
            block[: len(members)] = mesh.positions[members]
            corners.append(block.reshape(-1, GROUP, 3, 3).transpose(0, 2, 3, 1).reshape(-1))
            number = np.full(BLOCK, first_number + members[0])
            number[: len(members)] = first_number + members
            numbers.append(number)
            block_shapes.append(shape)
            spheres.append(_sphere(positions[members].reshape(-1, 3)))
            cones.append(_cone(normals[members]))
        first_blocks.append(len(block_shapes))
        first_number += len(positions)
    return Triangles(
        corners=np.array(corners, dtype=np.float32),
        numbers=np.array(numbers, dtype=np.int32),
        block_shapes=np.array(block_shapes, dtype=np.int32),
        first_blocks=np.array(first_blocks, dtype=np.int32),
        spheres=np.array(spheres, dtype=np.float32),
        cones=np.array(cones, dtype=np.float32),
        attributes=np.concatenate([_attributes(mesh) for mesh in meshes]),
        shapes=np.repeat(np.arange(len(meshes), dtype=np.int32), [len(mesh.positions) for mesh in meshes]),
        bounds=np.array([_sphere(mesh.positions.reshape(-1, 3).astype(np.float64)) for mesh in meshes], np.float32),
    )


def _attributes(mesh: Mesh) -> Float32[np.ndarray, "n 24"]:
    first = mesh.positions[:, 0]
    edges = np.concatenate([mesh.positions[:, 1] - first, mesh.positions[:, 2] - first], axis=1)
    normals = mesh.normals.reshape(-1, 9)
    return np.concatenate([first, edges, normals, mesh.texture_coordinates.reshape(-1, 6)], axis=1).astype(np.float32)


def _unit_normals(positions: Float64[np.ndarray, "n 3 3"]) -> Float64[np.ndarray, "n 3"]:
    """Zero for triangles without an area."""
    normals = np.cross(positions[:, 1] - positions[:, 0], positions[:, 2] - positions[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(lengths > 0, normals / np.where(lengths > 0, lengths, 1.0), 0.0)


def _neighbourhoods(
    positions: Float64[np.ndarray, "n 3 3"], normals: Float64[np.ndarray, "n 3"]
) -> list[Int64[np.ndarray, " k"]]:
    """Groups of at most 64 triangles, by repeated halving along the widest extent of place and direction."""
    centres = positions.mean(axis=1)
    size = max(float(np.ptp(centres, axis=0).max()), 1e-9)
    features = np.concatenate([centres / size, normals * _NORMAL_WEIGHT], axis=1)
    groups: list[np.ndarray] = []
    waiting = [np.arange(len(positions))]
    while waiting:
        group = waiting.pop()
        if len(group) <= BLOCK:
            groups.append(group)
            continue
        widest = int(np.argmax(np.ptp(features[group], axis=0)))
        # One side gets full blocks, so that only the last block of a shape has room left.
        half = max(1, round(len(group) / 2 / BLOCK)) * BLOCK
        ordered = group[np.argpartition(features[group, widest], half)]
        waiting += [ordered[half:], ordered[:half]]
    return groups


def _sphere(points: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "4"]:
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    return np.append(centre, np.linalg.norm(points - centre, axis=1).max())


def _cone(normals: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "4"]:
    normals = normals[(normals != 0).any(axis=1)]
    axis = normals.sum(axis=0)
    length = float(np.linalg.norm(axis))
    if length < 1e-6:
        return np.array([0.0, 0.0, 1.0, _TOO_WIDE])
    cosine = float((normals @ (axis / length)).min())
    # For triangles in one plane it may be slightly above 1. The margin is for rounding.
    sine = np.sqrt(max(0.0, 1 - cosine**2)) + 1e-4 if cosine > 0 else _TOO_WIDE
    return np.append(axis / length, sine)
