"""What a scene is made of, and the names of the scenes."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.scenes.calvin_checkout import CalvinEnv
from calvinbench.envs.scenes.scene_files import material_files, mesh_names

CALVIN_SCENES = ("A", "B", "C", "D")
EMBEDDED = "embedded"
"""Our own scene."""
SCENES = (EMBEDDED, *CALVIN_SCENES)
"""`embedded` ships with the package. The others are CALVIN's, and need a checkout of calvin_env."""
FLOOR_SIZE_M, FLOOR_POSITION, FLOOR_COLOUR = (8.0, 8.0, 0.02), (0.0, 0.0, -0.01), (0.86, 0.87, 0.88)
"""Size of the visible floor of scenes without a floor of their own."""


@dataclass(frozen=True, slots=True)
class Surface:
    """A flat region that blocks can be put on: opposite corners of the rectangle for their centres, metres."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def draw(self, generator: np.random.Generator) -> Float64[np.ndarray, "3"]:
        """A point drawn uniformly."""
        return generator.uniform(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Pose:
    """The pose of a body: position in metres, euler xyz in radians, world frame."""

    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    euler: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a world is made of.

    Attributes:
        name: Its name, as in `--scene`.
        robot_urdf: The URDF of the arm, as text, with absolute paths of meshes.
        table_urdf: The table's file.
        block_urdfs: The blocks' files by name, in the order of `scene_obs`.
        global_scaling: Factor by which table and blocks are scaled when they are loaded.
        surfaces: Where blocks may be put: `table`, `slider_left`, `slider_right`.
        floor_urdf: The floor's file; None for a plain floor without one.
        load_poses: Where each block is loaded, before a reset moves it; the origin if a block is not named.
        calvin_env: The checkout that one of CALVIN's own scenes is read from; None for another scene.
    """

    name: str
    robot_urdf: str
    table_urdf: Path
    block_urdfs: Mapping[str, Path]
    global_scaling: float
    surfaces: Mapping[str, Surface]
    floor_urdf: Path | None = None
    load_poses: Mapping[str, Pose] = field(default_factory=dict)
    calvin_env: CalvinEnv | None = None

    def block_sizes(self) -> dict[str, tuple[float, float, float]]:
        """Edges of the blocks as they are loaded, metres."""
        sizes = {}
        for block, file in self.block_urdfs.items():
            box = next(Xml.fromstring(file.read_text(encoding="utf-8")).iter("box"))  # noqa: S314
            x, y, z = (float(edge) * self.global_scaling for edge in box.attrib["size"].split())
            sizes[block] = (x, y, z)
        return sizes

    def joint_range(self, joint: str) -> tuple[float, float]:
        """Limits of one of the table's joints as it is loaded, metres.

        Raises:
            KeyError: The table has no such joint.
        """
        for element in Xml.fromstring(self.table_urdf.read_text(encoding="utf-8")).iter("joint"):  # noqa: S314
            limit = element.find("limit")
            if element.get("name") == joint and limit is not None:
                low, high = (float(limit.attrib[end]) * self.global_scaling for end in ("lower", "upper"))
                return low, high
        raise KeyError(f"expected a joint '{joint}' with limits in '{self.table_urdf}', found none.")

    def digest(self) -> str:
        """SHA-256 of everything that the scene is loaded from. It does not depend on where the files are."""
        sha = hashlib.sha256()
        sha.update(f"{list(self.block_urdfs)} {self.global_scaling}".encode())
        descriptions = [(Path(), self.robot_urdf)]
        if self.calvin_env is not None:
            # The places where bodies are loaded change the last bits of Bullet's contacts.
            sha.update(f"{self.surfaces} {self.load_poses}".encode())
        floor = () if self.floor_urdf is None else (self.floor_urdf,)
        for file in (self.table_urdf, *self.block_urdfs.values(), *floor):
            descriptions.append((file.parent, file.read_text(encoding="utf-8")))
        for folder, urdf in descriptions:
            sha.update(re.sub(r'filename="[^"]*/', 'filename="', urdf).encode())
            for name in mesh_names(urdf):
                sha.update((folder / name).read_bytes())
                # The embedded scene is drawn without the materials that its arm's meshes name.
                if self.calvin_env is not None:
                    for material in material_files(folder / name):
                        sha.update(material.read_bytes())
        return sha.hexdigest()
