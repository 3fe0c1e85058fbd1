"""All arrays that a world's images are drawn from. They are cached on disk, because reading meshes takes seconds."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Bool, Float64, Int64
from platformdirs import user_cache_path

from calvinbench.envs.rendering.shapes.blocks import Triangles, make_blocks
from calvinbench.envs.rendering.shapes.descriptions import FIXED, Description
from calvinbench.envs.rendering.shapes.textures import Textures, pack_textures
from calvinbench.envs.system.atomic_write import whole_file

LAYOUT = 4
"""The version of the cached arrays. It changes when their content, or the way to compute them, changes."""
CACHE_VARIABLE = "CALVINBENCH_CACHE"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Links:
    """Links of all bodies. Each comes after its parent, and a body's base comes first.

    Attributes:
        bodies: Which body each link belongs to.
        parents: The parent link; -1 for bases.
        frames: Each link's joint in the parent's frame; for a base, its place in the frame that Bullet reports, which
            is at the centre of mass.
        motions: `FIXED`, `REVOLUTE` or `PRISMATIC`.
        axes: Unit vectors in the joints' frames.
    """

    bodies: Int64[np.ndarray, " links"]
    parents: Int64[np.ndarray, " links"]
    frames: Float64[np.ndarray, "links 4 4"]
    motions: Int64[np.ndarray, " links"]
    axes: Float64[np.ndarray, "links 3"]


@dataclass(frozen=True, slots=True)
class Shapes:
    """The visible shapes of all bodies.

    Attributes:
        links: Which link each shape belongs to.
        colours: Red, green, blue in 0..1.
        centres: The link's centre of mass in its frame, metres.
        casts_shadow: Whether the shape casts a shadow.
    """

    links: Int64[np.ndarray, " shapes"]
    colours: Float64[np.ndarray, "shapes 3"]
    centres: Float64[np.ndarray, "shapes 3"]
    casts_shadow: Bool[np.ndarray, " shapes"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """A world's links, shapes, triangles and textures."""

    links: Links
    shapes: Shapes
    triangles: Triangles
    textures: Textures


def make_geometry(bodies: Sequence[Description], casts_shadow: Sequence[bool]) -> Geometry:
    """Converts the descriptions of bodies to arrays.

    Args:
        bodies: The descriptions.
        casts_shadow: For each body, whether it casts a shadow.

    Raises:
        FileNotFoundError: A texture is missing.
        ValueError: A texture is damaged.
    """
    links: dict[str, list[Any]] = {field.name: [] for field in fields(Links)}
    shapes: dict[str, list[Any]] = {field.name: [] for field in fields(Shapes)}
    meshes = []
    for number, (body, casts) in enumerate(zip(bodies, casts_shadow, strict=True)):
        base = len(links["bodies"])
        skeleton = body.skeleton
        links["bodies"] += [number] * (1 + len(skeleton.parents))
        links["parents"] += [-1, *(base + 1 + skeleton.parents)]
        links["frames"] += [skeleton.base_frame, *skeleton.frames]
        links["motions"] += [FIXED, *skeleton.motions]
        links["axes"] += [np.zeros(3), *skeleton.axes]
        for shape in body.shapes:
            shapes["links"].append(base + 1 + shape.link)
            shapes["colours"].append(shape.colour)
            shapes["centres"].append(shape.centre)
            shapes["casts_shadow"].append(casts)
            meshes.append(shape.mesh)
    return Geometry(
        Links(**{name: np.array(rows) for name, rows in links.items()}),
        Shapes(**{name: np.array(rows) for name, rows in shapes.items()}),
        make_blocks(meshes),
        pack_textures([mesh.texture for mesh in meshes]),
    )


def cache_folder() -> Path:
    """The folder of cached geometry: `CALVINBENCH_CACHE`, by default the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else user_cache_path("calvinbench")


def kept_geometry(digest: str) -> Geometry | None:
    """The cached geometry for a scene's digest; None if there is none, or if it cannot be read."""
    file = _file(digest)
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return _from_arrays(arrays)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, BadZipFile, EOFError, RuntimeError) as error:
        _logger.warning("%s cannot be read (%s) and is made again.", file, error)
        return None


def keep_geometry(digest: str, geometry: Geometry) -> None:
    """Caches geometry on the disk. A full or read-only disk is no error: the next start is only slower."""
    file = _file(digest)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **_to_arrays(geometry))
    except OSError as error:
        _logger.info("prepared meshes cannot be kept in %s: %s", file.parent, error)


def _file(digest: str) -> Path:
    return cache_folder() / f"geometry-{LAYOUT}-{digest[:32]}.npz"


def _to_arrays(geometry: Geometry) -> dict[str, np.ndarray]:
    return {
        f"{part.name}.{field.name}": getattr(getattr(geometry, part.name), field.name)
        for part in fields(Geometry)
        for field in fields(getattr(geometry, part.name))
    }


def _from_arrays(arrays: Mapping[str, Any]) -> Geometry:
    parts: dict[str, Any] = {"links": Links, "shapes": Shapes, "triangles": Triangles, "textures": Textures}
    return Geometry(
        **{
            name: kind(**{field.name: arrays[f"{name}.{field.name}"] for field in fields(kind)})
            for name, kind in parts.items()
        }
    )
