"""Our own renderer on a simulation: what its bodies look like, and where they are now."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calvinbench.envs.rendered import Rendered, View
from calvinbench.envs.rendering.descriptions import Description, read_description, single_shape
from calvinbench.envs.rendering.geometry import Geometry, keep_geometry, kept_geometry, make_geometry
from calvinbench.envs.rendering.kinematics import place_links
from calvinbench.envs.rendering.primitives import box, cylinder
from calvinbench.envs.rendering.renderer import Renderer
from calvinbench.envs.robot import PEDESTAL_LENGTH_M, PEDESTAL_POSITION, PEDESTAL_RADIUS_M
from calvinbench.envs.scene import FLOOR_COLOUR, FLOOR_POSITION, FLOOR_SIZE_M, Scene
from calvinbench.envs.table import Table

CALVIN_DEPTH_BITS, EMBEDDED_DEPTH_BITS = 16, 24
"""CALVIN's scenes are drawn with the depth buffer that Mesa gives to Bullet's plugin; ours with a finer one, for its
surfaces stand closer together than the coarse one can tell apart at the static camera's distance."""


class OpenGLLook:
    """Draws a simulation with the look of Bullet's OpenGL renderer."""

    def __init__(self, client: Any, scene: Scene, depth_bits: int | None = None) -> None:
        """Reads all meshes and textures, or takes them as they were kept the last time.

        Args:
            client: A `BulletClient`.
            scene: What is loaded into it.
            depth_bits: Of the depth buffer, 16 or 24; None for what suits the scene.

        Raises:
            ValueError: A mesh or texture is damaged, or `depth_bits` is something else.
            FileNotFoundError: One is missing.
        """
        self._client = client
        self._geometry = geometry_of(scene)
        suitable = EMBEDDED_DEPTH_BITS if scene.calvin_env is None else CALVIN_DEPTH_BITS
        self.depth_bits: int | None = suitable if depth_bits is None else depth_bits
        self._renderer = Renderer(self._geometry, self.depth_bits)
        links = self._geometry.links
        self._first_links = np.flatnonzero(links.parents < 0)
        self._placed = np.zeros((len(links.parents), 4, 4))
        self._joints = np.zeros(len(links.parents))
        num_bodies = len(self._first_links)
        self._positions = np.zeros((num_bodies, 3))
        self._quaternions = np.tile([0.0, 0.0, 0.0, 1.0], (num_bodies, 1))
        self._bodies: tuple[tuple[int, int], ...] = ()
        self._jointed: tuple[tuple[int, int, range], ...] = ()
        self._table: Table | None = None
        self._is_behind = True

    def before_loading(self) -> None:
        """Nothing to do: what the bodies look like is known."""

    def after_loading(self, robot: int, blocks: tuple[int, ...], table: Table) -> None:
        """Takes Bullet's numbers of the bodies; pedestal and floor stand still."""
        uids = (robot, None, *blocks, table.uid, None)
        self._bodies = tuple((number, uid) for number, uid in enumerate(uids) if uid is not None)
        ends = [*self._first_links[1:], len(self._joints)]
        self._jointed = tuple(
            (uid, self._first_links[number] + 1, range(ends[number] - self._first_links[number] - 1))
            for number, uid in self._bodies
            if ends[number] - self._first_links[number] > 1
        )
        self._table = table
        self._is_behind = True

    def world_changed(self) -> None:
        """The next picture shall look at the bodies again."""
        self._is_behind = True

    def render(self, view: View, fixed: bool) -> Rendered:
        """Draws the world as it is now."""
        if self._is_behind:
            self._look()
            self._is_behind = False
        return self._renderer.render(view, fixed)

    def _look(self) -> None:
        for number, uid in self._bodies:
            self._positions[number], self._quaternions[number] = self._client.getBasePositionAndOrientation(uid)
        for uid, first, joints in self._jointed:
            states = self._client.getJointStates(uid, joints)
            self._joints[first : first + len(joints)] = [state[0] for state in states]
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
        self._renderer.update(self._placed, self._colours())

    def _colours(self) -> np.ndarray:
        """Colours of the shapes, lights as they are lit."""
        colours = self._geometry.shapes.colours.copy()
        if self._table is not None:
            first = self._first_links[-2]
            for link, colour in self._table.light_colours.items():
                colours[self._geometry.shapes.links == first + 1 + link] = colour
        return colours


def geometry_of(scene: Scene) -> Geometry:
    """A scene's geometry: kept from the last time, or made and kept for the next.

    Raises:
        ValueError: A mesh or texture is damaged.
        FileNotFoundError: One is missing.
    """
    digest = scene.digest()
    geometry = kept_geometry(digest)
    if geometry is None:
        bodies = _descriptions(scene)
        # The floor casts no shadow: nothing is below it.
        geometry = make_geometry(bodies, [True] * (len(bodies) - 1) + [False])
        keep_geometry(digest, geometry)
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
