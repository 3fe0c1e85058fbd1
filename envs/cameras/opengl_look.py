"""Our own renderer for a simulation. It knows the shapes of the bodies, and reads from Bullet where they are."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.bodies.robot import PEDESTAL_LENGTH_M, PEDESTAL_POSITION, PEDESTAL_RADIUS_M
from calvinbench.envs.bodies.table import Table
from calvinbench.envs.rendering.kinematics import place_links
from calvinbench.envs.rendering.rendered import Rendered, View
from calvinbench.envs.rendering.renderer import Renderer, require_depth_bits
from calvinbench.envs.rendering.shapes.descriptions import Description, read_description, single_shape
from calvinbench.envs.rendering.shapes.geometry import Geometry, keep_geometry, kept_geometry, make_geometry
from calvinbench.envs.rendering.shapes.primitives import box, cylinder
from calvinbench.envs.scenes.scene import FLOOR_COLOUR, FLOOR_POSITION, FLOOR_SIZE_M, Scene

CALVIN_DEPTH_BITS, EMBEDDED_DEPTH_BITS = 16, 24
"""Default depth bits. CALVIN's scenes have 16, like Mesa's depth buffer, which Bullet's plugin used. Ours has 24: some
of its surfaces are so close together that 16 bits give them the same depth from the static camera."""


class OpenGLLook:
    """Draws a simulation with the look of Bullet's OpenGL renderer."""

    reads_bullet = False

    def __init__(self, client: Any, scene: Scene, depth_bits: int | None = None) -> None:
        """Stores what will be drawn. Meshes are read by `prepare`, or else by the first image.

        Args:
            client: A `BulletClient`.
            scene: The scene that is loaded into it.
            depth_bits: Bits of the depth buffer, 16 or 24; None for the scene's default.

        Raises:
            ValueError: `depth_bits` has another value.
        """
        suitable = EMBEDDED_DEPTH_BITS if scene.calvin_env is None else CALVIN_DEPTH_BITS
        self.depth_bits: int | None = require_depth_bits(suitable if depth_bits is None else depth_bits)
        self._client = client
        self._scene = scene
        self._bodies: tuple[int | None, ...] = ()
        self._table: Table | None = None
        self._is_behind = True
        self._drawing: _Drawing | None = None

    def prepare(self) -> None:
        """Reads all meshes and textures, or their cache on the disk.

        Raises:
            ValueError: A mesh or texture is damaged.
            FileNotFoundError: One is missing.
        """
        self._prepared()

    def _prepared(self) -> "_Drawing":
        if self._drawing is None:
            self._drawing = _Drawing(geometry_of(self._scene), self.depth_bits or CALVIN_DEPTH_BITS)
        return self._drawing

    def before_loading(self) -> None:
        """Has no effect: the shapes come from the scene's files."""

    def after_loading(self, robot: int, blocks: tuple[int, ...], table: Table) -> None:
        """Stores Bullet's numbers of the bodies. Pedestal and floor never move."""
        self._bodies = (robot, None, *blocks, table.uid, None)
        self._table = table
        self._is_behind = True

    def world_changed(self) -> None:
        """Makes the next image ask for the poses of the bodies again."""
        self._is_behind = True

    def render(self, view: View, fixed: bool, with_depth: bool = True) -> Rendered:
        """Draws the world as it is now.

        Raises:
            ValueError: A mesh or texture is damaged. Only the first image can raise this.
            FileNotFoundError: One is missing.
            RuntimeError: No bodies are loaded.
        """
        if self._table is None:
            raise RuntimeError("expected bodies to be loaded before an image is drawn, but there are none.")
        drawing = self._prepared()
        if self._is_behind:
            drawing.look(self._client, self._bodies, self._table)
            self._is_behind = False
        return drawing.renderer.render(view, fixed, with_depth)


class _Drawing:
    """A scene's geometry, ready to be placed and drawn."""

    def __init__(self, geometry: Geometry, depth_bits: int) -> None:
        self.renderer = Renderer(geometry, depth_bits)
        self._geometry = geometry
        links = geometry.links
        self._first_links = np.flatnonzero(links.parents < 0)
        self._placed = np.zeros((len(links.parents), 4, 4))
        self._joints = np.zeros(len(links.parents))
        self._positions = np.zeros((len(self._first_links), 3))
        self._quaternions = np.tile([0.0, 0.0, 0.0, 1.0], (len(self._first_links), 1))
        ends = [*self._first_links[1:], len(links.parents)]
        self._lit: dict[int, tuple[float, float, float]] = {}
        self._shown_colours = geometry.shapes.colours
        self._num_joints = [int(end - first - 1) for first, end in zip(self._first_links, ends, strict=True)]

    def look(self, client: Any, bodies: Sequence[int | None], table: Table) -> None:
        """Reads where the bodies are, by Bullet's numbers. Bodies without a number are at the origin."""
        for body, uid in enumerate(bodies):
            if uid is None:
                continue
            self._positions[body], self._quaternions[body] = client.getBasePositionAndOrientation(uid)
            if self._num_joints[body]:
                states = client.getJointStates(uid, range(self._num_joints[body]))
                first = self._first_links[body] + 1
                self._joints[first : first + len(states)] = [state[0] for state in states]
        links = self._geometry.links
        place_links(
            self._positions,
            self._quaternions,
            self._joints,
            links.bodies,
            links.parents,
            links.frames,
            links.motions,
            links.axes,
            self._placed,
        )
        self.renderer.update(self._placed, self._colours(int(self._first_links[bodies.index(table.uid)]) + 1, table))

    def _colours(self, first_link: int, table: Table) -> Float64[np.ndarray, "shapes 3"]:
        """Colours of the shapes, including the current state of the lights."""
        lit = table.light_colours
        if lit != self._lit:
            self._lit = lit
            self._shown_colours = self._geometry.shapes.colours.copy()
            for link, colour in lit.items():
                self._shown_colours[self._geometry.shapes.links == first_link + link] = colour
        return self._shown_colours


@lru_cache(maxsize=4)
def _shared_geometry(digest: str) -> Geometry | None:
    """Geometry by scene, shared by the worlds of a process."""
    return kept_geometry(digest)


def geometry_of(scene: Scene) -> Geometry:
    """A scene's geometry, from the cache on the disk if possible. Otherwise it is made and cached.

    Raises:
        ValueError: A mesh or texture is damaged.
        FileNotFoundError: One is missing.
    """
    digest = scene.digest()
    geometry = _shared_geometry(digest)
    if geometry is None:
        bodies = _descriptions(scene)
        # The floor casts no shadow: nothing is below it.
        geometry = make_geometry(bodies, [True] * (len(bodies) - 1) + [False])
        keep_geometry(digest, geometry)
        _shared_geometry.cache_clear()
    return geometry


def _descriptions(scene: Scene) -> Sequence[Description]:
    """Robot, pedestal, blocks, table and floor, as `PlayTableEnv` loads them."""

    def read(file: Path, scaling: float = 1.0) -> Description:
        try:
            return read_description(file.read_text(encoding="utf-8"), file.parent, scaling)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error

    pedestal = single_shape(cylinder(PEDESTAL_RADIUS_M, PEDESTAL_LENGTH_M), (1.0, 1.0, 1.0), PEDESTAL_POSITION)
    if scene.floor_urdf is None:
        floor = single_shape(box(np.array(FLOOR_SIZE_M)), FLOOR_COLOUR, FLOOR_POSITION)
    else:
        floor = read(scene.floor_urdf)
    return (
        read_description(scene.robot_urdf, Path("/")),
        pedestal,
        *(read(file, scene.global_scaling) for file in scene.block_urdfs.values()),
        read(scene.table_urdf, scene.global_scaling),
        floor,
    )
