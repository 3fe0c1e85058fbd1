"""The renderer: takes the places of a world's shapes and makes pictures of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, UInt8, UInt16

from calvinbench.envs.rendering.blocks import Triangles, make_blocks
from calvinbench.envs.rendering.culling import blocks_facing_away, blocks_in_view
from calvinbench.envs.rendering.descriptions import Description
from calvinbench.envs.rendering.drawing import DEPTH_SHIFT, NUMBER_MASK, RANK_SHIFT, cast_blocks, draw_blocks
from calvinbench.envs.rendering.kinematics import link_frames
from calvinbench.envs.rendering.shading import (
    SURFACE_DIM,
    VIEW_DIM,
    BACKGROUND,
    changed_pixels,
    finish_pixels,
    light_pixels,
    pixels_in_shadow_of,
)
from calvinbench.envs.rendering.shadow_map import (
    HIGHLIGHTS_SEEN_FROM,
    LIGHT_POSITION,
    ShadowMap,
    light_direction,
    map_around,
)
from calvinbench.envs.rendering.still_layer import StillLayer, StillPicture
from calvinbench.envs.rendering.texture_store import TextureStore, store_textures

_NUM_RANKS = 1 << int(DEPTH_SHIFT - RANK_SHIFT)
_MAX_DISTANCE_M = 16.0
"""Shapes farther than this from the world's origin, along a camera's axis, share a rank."""


@dataclass(frozen=True, slots=True)
class Body:
    """A body of the simulation, to be drawn.

    Attributes:
        uid: Bullet's number.
        description: What it looks like.
        casts_shadow: Whether others can stand in its shadow.
    """

    uid: int
    description: Description
    casts_shadow: bool = True


@dataclass(frozen=True, slots=True)
class View:
    """How a camera sees the world: `view` and `projection` are Bullet's 16 numbers, columns first."""

    view: tuple[float, ...]
    projection: tuple[float, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """A picture.

    Attributes:
        rgb: Colours, 0..255.
        z_buffer: Depth as OpenGL keeps it, 0 at the near plane, 1 at the far plane.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    z_buffer: Float32[np.ndarray, "H W"]


class Renderer:
    """Makes pictures with the look of Bullet's OpenGL renderer, on the CPU."""

    def __init__(self, client: Any, bodies: Sequence[Body], depth_bits: int = 16) -> None:
        """Prepares all shapes.

        Args:
            client: A `BulletClient`; asked for the places of bodies and joints, and nothing else.
            bodies: What to draw.
            depth_bits: Of the depth buffer, 16 or 24. Mesa's has 16: edges between far surfaces become jagged.

        Raises:
            ValueError: `depth_bits` is something else, or a texture is damaged.
            FileNotFoundError: A texture is missing.
        """
        if depth_bits not in (16, 24):
            raise ValueError(f"expected 16 or 24 depth bits, got {depth_bits}.")
        self._client = client
        self._bodies = tuple(bodies)
        self._max_depth = 2**depth_bits - 1
        shapes = [shape for body in bodies for shape in body.description.shapes]
        self._triangles: Triangles = make_blocks([shape.mesh for shape in shapes])
        self._textures: TextureStore = store_textures([shape.mesh.texture for shape in shapes])
        self._owners = [(body.uid, shape.link) for body in bodies for shape in body.description.shapes]
        self._colours = np.array([shape.colour for shape in shapes], dtype=np.float64)
        self._centres = np.array([(*shape.centre, 1.0) for shape in shapes])
        self._casts = np.array([body.casts_shadow for body in bodies for _ in body.description.shapes])
        # Which of a body's placed links each shape rides on, among all bodies' links.
        num_links = [1 + len(body.description.skeleton.parents) for body in bodies]
        first_links = np.concatenate([[0], np.cumsum(num_links)])
        self._rides_on = np.array(
            [
                first + 1 + shape.link
                for first, body in zip(first_links[:-1], bodies, strict=True)
                for shape in body.description.shapes
            ]
        )
        self._link_frames = np.zeros((first_links[-1], 4, 4))
        self._placed = [self._link_frames[a:b] for a, b in zip(first_links[:-1], first_links[1:], strict=True)]
        self._frames = np.zeros((len(shapes), 4, 4))
        self._layer = StillLayer(len(shapes))
        self._still_pictures: dict[View, StillPicture] = {}
        self._shadow_map: ShadowMap | None = None
        self._shadow_bounds = np.array([0, 0, -1, -1])
        self._chosen = np.empty(len(self._triangles.block_shapes), dtype=np.int32)
        self._light = np.zeros(21, dtype=np.float32)
        self._light[:9] = np.concatenate(
            [LIGHT_POSITION / np.linalg.norm(LIGHT_POSITION), LIGHT_POSITION, HIGHLIGHTS_SEEN_FROM]
        )

    def update(self, colours: Mapping[tuple[int, int], tuple[float, float, float]]) -> None:
        """Takes in where everything is now, and draws the shadows; to be called once after each step.

        Args:
            colours: Colours by body and link, where they differ from the descriptions'.
        """
        self._place_links()
        for owner, colour in colours.items():
            for number, other in enumerate(self._owners):
                if other == owner:
                    self._colours[number] = colour
        self._frames[:] = self._link_frames[self._rides_on]
        appearances = np.concatenate([self._frames[:, :3].reshape(len(self._frames), 12), self._colours], axis=1)
        layer_changed = self._layer.update(appearances)
        self._cast_shadows(layer_changed)

    def _place_links(self) -> None:
        client = self._client
        for body, placed in zip(self._bodies, self._placed, strict=True):
            skeleton = body.description.skeleton
            position, quaternion = client.getBasePositionAndOrientation(body.uid)
            num_joints = len(skeleton.parents)
            joints = [state[0] for state in client.getJointStates(body.uid, range(num_joints))] if num_joints else []
            link_frames(
                np.array(position),
                np.array(quaternion),
                np.array(joints, dtype=np.float64),
                skeleton.base_frame,
                skeleton.parents,
                skeleton.frames,
                skeleton.motions,
                skeleton.axes,
                placed,
            )

    def _world_spheres(self) -> Float64[np.ndarray, "shapes 4"]:
        """Spheres around those shapes that cast shadows."""
        bounds = self._triangles.bounds[self._casts].astype(np.float64)
        frames = self._frames[self._casts]
        centres = np.einsum("sij,sj->si", frames[:, :3, :3], bounds[:, :3]) + frames[:, :3, 3]
        return np.concatenate([centres, bounds[:, 3:]], axis=1)

    def _cast_shadows(self, layer_changed: bool) -> None:
        """Draws into the shadow map what casts shadows: what is still when that has changed, the rest always."""
        if self._shadow_map is None or not self._shadow_map.holds(self._world_spheres()):
            self._shadow_map = map_around(self._world_spheres())
            self._light[9:21] = self._shadow_map.lookup().reshape(-1)
            self._still_pictures.clear()
            layer_changed = True
        shadow_map = self._shadow_map
        if layer_changed:
            shadow_map.still.fill(np.iinfo(np.uint16).max)
            still = self._layer.still
            self._cast(still[self._casts[still]], shadow_map.still)
            shadow_map.depths[:] = shadow_map.still
        else:
            first_column, first_row, last_column, last_row = self._shadow_bounds
            window = np.s_[first_row : last_row + 1, first_column : last_column + 1]
            shadow_map.depths[window] = shadow_map.still[window]
        moving = self._layer.moving
        self._shadow_bounds = self._cast(moving[self._casts[moving]], shadow_map.depths)

    def _cast(self, shapes: Int32[np.ndarray, "n"], depths: UInt16[np.ndarray, "rows columns"]) -> np.ndarray:
        """Draws shapes into a shadow map; returns the bounds of what was drawn."""
        assert self._shadow_map is not None
        triangles = self._triangles
        projections = (self._shadow_map.projection() @ self._frames).reshape(-1, 16).astype(np.float32)
        directions = (light_direction() @ self._frames[:, :3, :3]).astype(np.float32)
        count = blocks_facing_away(shapes, triangles.first_blocks, triangles.cones, directions, self._chosen)
        bounds: np.ndarray = cast_blocks(
            self._chosen[:count], triangles.corners, triangles.block_shapes, projections, depths
        )
        return bounds

    def render(self, view: View, fixed: bool) -> Rendered:
        """Makes a picture of the world as it was at the last `update`.

        Args:
            view: The camera.
            fixed: Whether the camera stays where it is, so that its picture of what does not move is worth keeping.
        """
        size = view.size
        camera = _Camera.of(view, self._frames, self._centres, self._colours)
        num_pixels = size * size
        if fixed:
            still = self._still_picture(view, camera)
            keys, rgb = still.keys.copy(), still.rgb.copy()
            self._draw(self._layer.moving, camera, keys)
            chosen = np.empty(num_pixels, dtype=np.int32)
            count = changed_pixels(keys, still.keys, chosen)
            self._shade(chosen[:count], keys, camera, np.empty((SURFACE_DIM, num_pixels), np.float32), rgb)
            count = pixels_in_shadow_of(self._shadow_bounds, keys, still.keys, still.surfaces, chosen)
            assert self._shadow_map is not None
            finish_pixels(chosen[:count], still.surfaces, self._shadow_map.depths, size, rgb)
        else:
            keys, rgb = self._empty(size)
            background = keys[0]
            self._draw(np.arange(len(self._frames), dtype=np.int32), camera, keys)
            pixels = np.flatnonzero(keys != background).astype(np.int32)
            self._shade(pixels, keys, camera, np.empty((SURFACE_DIM, num_pixels), np.float32), rgb)
        depths = (keys >> DEPTH_SHIFT).reshape(size, size)[::-1]
        return Rendered(rgb, (depths / np.float32(self._max_depth)).astype(np.float32))

    def _empty(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        keys = np.full(size * size, np.int64(self._max_depth) << DEPTH_SHIFT)
        rgb = np.empty((size, size, 3), dtype=np.uint8)
        rgb[:] = BACKGROUND
        return keys, rgb

    def _still_picture(self, view: View, camera: "_Camera") -> StillPicture:
        """The picture of what does not move, drawn anew where that has changed."""
        kept = self._still_pictures.get(view)
        if kept is not None and kept.version == self._layer.version:
            return kept
        assert self._shadow_map is not None
        keys, rgb = self._empty(view.size)
        background = keys[0]
        self._draw(self._layer.still, camera, keys)
        surfaces = np.zeros((SURFACE_DIM, len(keys)), dtype=np.float32)
        pixels = np.flatnonzero(keys != background).astype(np.int32)
        self._light_and_finish(pixels, keys, camera, surfaces, self._shadow_map.still, rgb)
        kept = self._still_pictures[view] = StillPicture(self._layer.version, keys, surfaces, rgb)
        return kept

    def _draw(self, shapes: Int32[np.ndarray, "n"], camera: "_Camera", keys: np.ndarray) -> None:
        triangles = self._triangles
        count = blocks_in_view(
            shapes,
            triangles.first_blocks,
            triangles.spheres,
            triangles.cones,
            camera.projections,
            camera.eyes,
            self._chosen,
        )
        draw_blocks(
            self._chosen[:count],
            triangles.corners,
            triangles.numbers,
            triangles.block_shapes,
            camera.projections,
            camera.ranks,
            camera.near_m,
            self._max_depth,
            keys.reshape(camera.size, camera.size),
        )

    def _shade(self, pixels, keys, camera, surfaces, rgb) -> None:
        assert self._shadow_map is not None
        self._light_and_finish(pixels, keys, camera, surfaces, self._shadow_map.depths, rgb)

    def _light_and_finish(self, pixels, keys, camera, surfaces, shadow, rgb) -> None:
        light_pixels(
            pixels,
            keys,
            camera.size,
            self._triangles.attributes,
            self._triangles.shapes,
            camera.views,
            camera.eye,
            camera.rays,
            self._textures.levels,
            self._textures.texels,
            self._light,
            surfaces,
        )
        finish_pixels(pixels, surfaces, shadow, camera.size, rgb)


@dataclass(frozen=True, slots=True)
class _Camera:
    """A view as the compiled loops want it."""

    size: int
    near_m: float
    projections: Float32[np.ndarray, "shapes 16"]
    ranks: Int64[np.ndarray, "shapes"]
    eyes: Float32[np.ndarray, "shapes 3"]
    views: Float32[np.ndarray, "shapes 24"]
    eye: Float32[np.ndarray, "3"]
    rays: Float32[np.ndarray, "3 3"]

    @classmethod
    def of(cls, view: View, frames: np.ndarray, centres: np.ndarray, colours: np.ndarray) -> "_Camera":
        view_matrix = np.array(view.view).reshape(4, 4).T
        lens = np.array(view.projection).reshape(4, 4).T
        axes = view_matrix[:3, :3]
        eye = -axes.T @ view_matrix[:3, 3]
        right, up, forward = axes[0] / lens[0, 0], axes[1] / lens[1, 1], -axes[2]
        rays = np.array([forward - right - up, right * 2 / view.size, up * 2 / view.size])
        rotations = frames[:, :3, :3]
        local_eyes = np.einsum("sji,sj->si", rotations, eye - frames[:, :3, 3])
        local_rays = np.einsum("sji,rj->sri", rotations, rays).reshape(-1, 9)
        views = np.concatenate([local_rays, local_eyes, rotations.reshape(-1, 9), colours], axis=1)
        projections = (lens @ view_matrix) @ frames
        # Bullet draws the shapes whose centres lie farther along the camera's axis first.
        along = np.einsum("i,sij,sj->s", forward, frames[:, :3], centres)
        ranks = np.floor((_MAX_DISTANCE_M - along) / (2 * _MAX_DISTANCE_M) * _NUM_RANKS)
        return cls(
            size=view.size,
            ranks=np.clip(ranks, 0, _NUM_RANKS - 1).astype(np.int64),
            near_m=lens[2, 3] / (lens[2, 2] - 1),
            projections=projections.reshape(-1, 16).astype(np.float32),
            eyes=local_eyes.astype(np.float32),
            views=views.astype(np.float32),
            eye=eye.astype(np.float32),
            rays=rays.astype(np.float32),
        )
