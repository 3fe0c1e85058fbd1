"""Which bodies stand where: what a scene is made of, and the scenes that there are."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree as Xml

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.names import require_name
from calvinbench.envs.panda import panda_urdf


@dataclass(frozen=True, slots=True)
class Surface:
    """A flat region that blocks can be put on: opposite corners of the rectangle for their centres, metres."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def draw(self, generator: np.random.Generator) -> Float64[np.ndarray, "3"]:
        """A point drawn uniformly."""
        return generator.uniform(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a world is made of.

    Attributes:
        name: What `--scene` calls it.
        robot_urdf: The arm's description, as text; paths of meshes are absolute.
        table_urdf: The table's file.
        block_urdfs: The blocks' files by name, in the order of `scene_obs`.
        global_scaling: By how much table and blocks are scaled when they are loaded.
        surfaces: Where blocks may be put: `table`, `slider_left`, `slider_right`.
    """

    name: str
    robot_urdf: str
    table_urdf: Path
    block_urdfs: Mapping[str, Path]
    global_scaling: float
    surfaces: Mapping[str, Surface]

    def digest(self) -> str:
        """SHA-256 over everything that the scene is loaded from; where it lies on the disk does not count."""
        sha = hashlib.sha256()
        sha.update(f"{list(self.block_urdfs)} {self.global_scaling}".encode())
        descriptions = [(Path(), self.robot_urdf)]
        for file in (self.table_urdf, *self.block_urdfs.values()):
            descriptions.append((file.parent, file.read_text(encoding="utf-8")))
        for folder, urdf in descriptions:
            sha.update(re.sub(r'filename="[^"]*/', 'filename="', urdf).encode())
            for name in _mesh_names(urdf):
                sha.update((folder / name).read_bytes())
        return sha.hexdigest()


def _mesh_names(urdf: str) -> list[str]:
    """The files that a description refers to, each once, in their order."""
    meshes = Xml.fromstring(urdf).iter("mesh")  # noqa: S314  (a file of an installed package)
    return list(dict.fromkeys(mesh.attrib["filename"] for mesh in meshes))


def _embedded() -> Scene:
    """The scene that ships with the package: places and joints of CALVIN's scene D, shapes of our own."""
    from calvinbench.envs.assets.draw import BLOCK_SIZES

    folder = Path(str(files("calvinbench.envs.assets")))
    return Scene(
        name="embedded",
        robot_urdf=panda_urdf(),
        table_urdf=folder / "table.urdf",
        block_urdfs={name: folder / f"{name}.urdf" for name in BLOCK_SIZES},
        global_scaling=1.0,
        surfaces={
            "table": Surface((0.0, -0.15, 0.46), (0.35, -0.04, 0.46)),
            "slider_left": Surface((-0.32, 0.095, 0.46), (-0.16, 0.11, 0.46)),
            "slider_right": Surface((-0.05, 0.095, 0.46), (0.11, 0.11, 0.46)),
        },
    )


SCENES: Mapping[str, Callable[[], Scene]] = MappingProxyType({"embedded": _embedded})
"""How to make each scene."""


def load_scene(name: str) -> Scene:
    """A scene by name.

    Raises:
        UnknownNameError: There is no such scene.
    """
    return SCENES[require_name(name, tuple(SCENES), "scene")]()
