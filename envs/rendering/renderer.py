"""The renderer: it calls the steps of the pipeline in order. The room's `__init__` lists the steps."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, UInt8, UInt16

from calvinbench.envs.rendering.culling import blocks_facing_away, blocks_in_view
from calvinbench.envs.rendering.drawing import DEPTH_SHIFT, RANK_SHIFT, cast_blocks, draw_blocks
from calvinbench.envs.rendering.pixels import changed_pixels, pixels_by_shape, pixels_by_texel, places_in_shadow_of
from calvinbench.envs.rendering.rendered import Rendered, View
from calvinbench.envs.rendering.shading import BACKGROUND, SURFACE_DIM, VIEW_DIM, finish_pixels, light_pixels
from calvinbench.envs.rendering.shadow_map import (
    HIGHLIGHTS_SEEN_FROM,
    LIGHT_POSITION,
    MAX_DEPTH,
    ShadowMap,
    light_direction,
    map_around,
)
from calvinbench.envs.rendering.shapes.geometry import Geometry
from calvinbench.envs.rendering.still_layer import StillImage, StillLayer
from calvinbench.envs.rendering.viewing import see_from_camera, see_from_light

_NUM_RANKS = 1 << int(DEPTH_SHIFT - RANK_SHIFT)


@dataclass(frozen=True, slots=True)
class _Sight:
    """The arrays that the compiled loops need for one image of a camera, see `see_from_camera`."""

    size: int
    near_m: float
    projections: Float32[np.ndarray, "shapes 16"]
    eyes: Float32[np.ndarray, "shapes 3"]
    views: Float32[np.ndarray, "shapes 24"]
    ranks: Int64[np.ndarray, " shapes"]
    eye: Float32[np.ndarray, "3"]
    rays: Float32[np.ndarray, "3 3"]


def require_depth_bits(depth_bits: int) -> int:
    """Returns the number of bits of a depth buffer if it is valid, or raises an error.

    Raises:
        ValueError: It is neither 16 nor 24.
    """
    if depth_bits not in (16, 24):
        raise ValueError(f"expected 16 or 24 depth bits, got {depth_bits}.")
    return depth_bits


class Renderer:
    """Draws images with the look of Bullet's OpenGL renderer, on the CPU."""

    def __init__(self, geometry: Geometry, depth_bits: int = 16, shadows: bool = True) -> None:
        """Prepares to draw.

        Args:
            geometry: What will be drawn.
            depth_bits: Bits of the depth buffer, 16 or 24. Mesa's has 16, with which edges between far surfaces are
                jagged.
            shadows: Whether shadows are drawn. Bullet's EGL plugin draws none in the first two images of a process.

        Raises:
            ValueError: `depth_bits` has another value.
        """
        num_shapes = len(geometry.shapes.links)
        self._geometry = geometry
        self._max_depth = 2 ** require_depth_bits(depth_bits) - 1
        self._frames = np.zeros((num_shapes, 4, 4))
        self._colours = geometry.shapes.colours
        self._all_shapes = np.arange(num_shapes, dtype=np.int32)
        self._casts = geometry.shapes.casts_shadow & shadows
        self._layer = StillLayer(num_shapes)
        self._still_images: dict[View, StillImage] = {}
        self._shadow_map: ShadowMap = map_around(np.zeros((0, 4)))
        self._shadow_bounds = np.array([0, 0, -1, -1])
        self._light_projections = np.zeros((num_shapes, 16), dtype=np.float32)
        self._light_directions = np.zeros((num_shapes, 3), dtype=np.float32)
        self._reach = np.zeros((num_shapes, 4))
        self._chosen = np.empty(len(geometry.triangles.block_shapes), dtype=np.int32)
        self._blank: dict[int, UInt8[np.ndarray, "H W 3"]] = {}
        self._light = np.zeros(21, dtype=np.float32)
        self._light[:9] = np.concatenate([-light_direction(), LIGHT_POSITION, HIGHLIGHTS_SEEN_FROM])
        self._light[9:21] = self._shadow_map.lookup.reshape(-1)

    def update(
        self, link_frames: Float64[np.ndarray, "links 4 4"], colours: Float64[np.ndarray, "shapes 3"] | None = None
    ) -> None:
        """Stores the state of the world, and draws its shadow map. Call it once after each step.

        Args:
            link_frames: The frames of all links in the world.
            colours: Colours of the shapes; None for their own.
        """
        np.take(link_frames, self._geometry.shapes.links, axis=0, out=self._frames)
        self._colours = self._geometry.shapes.colours if colours is None else colours
        appearances = np.concatenate([self._frames.reshape(-1, 16), self._colours], axis=1)
        self._cast_shadows(self._layer.update(appearances))

    def _cast_shadows(self, layer_changed: bool) -> None:
        """Draws shapes into the shadow map: moving ones always, still ones only after a change."""
        shadow_map = self._shadow_map
        self._see_from_light()
        if not shadow_map.suits(self._reach[self._casts]):
            shadow_map = self._shadow_map = map_around(self._reach[self._casts])
            self._light[9:21] = shadow_map.lookup.reshape(-1)
            self._see_from_light()
            self._still_images.clear()
            layer_changed = True
        if layer_changed:
            shadow_map.still.fill(MAX_DEPTH)
            self._cast(self._layer.still, shadow_map.still)
            shadow_map.depths[:] = shadow_map.still
        else:
            first_column, first_row, last_column, last_row = self._shadow_bounds
            window = np.s_[first_row : last_row + 1, first_column : last_column + 1]
            shadow_map.depths[window] = shadow_map.still[window]
        self._shadow_bounds = self._cast(self._layer.moving, shadow_map.depths)

    def _see_from_light(self) -> None:
        see_from_light(
            self._shadow_map.projection,
            light_direction(),
            self._frames,
            self._geometry.triangles.bounds,
            self._light_projections,
            self._light_directions,
            self._reach,
        )

    def _cast(
        self, shapes: Int32[np.ndarray, " n"], depths: UInt16[np.ndarray, "rows columns"]
    ) -> Int64[np.ndarray, "4"]:
        """Draws those of some shapes that cast shadows into a shadow map. Returns the bounds of what was drawn."""
        triangles = self._geometry.triangles
        casting = shapes[self._casts[shapes]]
        count = blocks_facing_away(
            casting, triangles.first_blocks, triangles.cones, self._light_directions, self._chosen
        )
        bounds: Int64[np.ndarray, "4"] = cast_blocks(
            self._chosen[:count], triangles.corners, triangles.block_shapes, self._light_projections, depths
        )
        return bounds

    def render(self, view: View, fixed: bool, with_depth: bool = True) -> Rendered:
        """Draws the world as it was at the last `update`.

        Args:
            view: The camera.
            fixed: Whether the camera never moves. If so, its image of the still shapes is cached. The result does not
                depend on this.
            with_depth: Whether the depth is computed too.
        """
        sight = self._look(view)
        if fixed:
            still = self._still_image(view, sight)
            keys, rgb = still.keys.copy(), still.rgb.copy()
            bounds = self._draw(self._layer.moving, sight, keys)
            pixels = np.empty(len(keys), dtype=np.int32)
            count = changed_pixels(bounds, view.size, keys, still.keys, pixels)
            self._shade(pixels[:count], keys, sight, self._shadow_map.depths, rgb)
            count = places_in_shadow_of(
                *(self._shadow_bounds, self._shadow_map.still, self._shadow_map.depths),
                *(still.first_places, still.columns, still.places, still.pixels, keys, still.keys, pixels),
            )
            finish_pixels(pixels[:count], still.pixels, still.surfaces, self._shadow_map.depths, view.size, rgb)
        else:
            keys, rgb = self._empty(view.size)
            background = keys[0]
            self._draw(self._all_shapes, sight, keys)
            pixels = np.flatnonzero(keys != background).astype(np.int32)
            self._shade(pixels, keys, sight, self._shadow_map.depths, rgb)
        if not with_depth:
            return Rendered(rgb, None)
        depths = (keys >> DEPTH_SHIFT).astype(np.float32) / np.float32(self._max_depth)
        return Rendered(rgb, np.ascontiguousarray(depths.reshape(view.size, view.size)[::-1]))

    def _look(self, view: View) -> _Sight:
        num_shapes = len(self._frames)
        view_matrix = np.array(view.view).reshape(4, 4).T
        lens = np.array(view.projection).reshape(4, 4).T
        sight = _Sight(
            size=view.size,
            near_m=float(lens[2, 3] / (lens[2, 2] - 1)),
            projections=np.empty((num_shapes, 16), dtype=np.float32),
            eyes=np.empty((num_shapes, 3), dtype=np.float32),
            views=np.empty((num_shapes, VIEW_DIM), dtype=np.float32),
            ranks=np.empty(num_shapes, dtype=np.int64),
            eye=np.empty(3, dtype=np.float32),
            rays=np.empty((3, 3), dtype=np.float32),
        )
        see_from_camera(
            view_matrix,
            lens,
            view.size,
            _NUM_RANKS,
            self._frames,
            self._geometry.shapes.centres,
            self._colours,
            sight.projections,
            sight.eyes,
            sight.views,
            sight.ranks,
            sight.eye,
            sight.rays,
        )
        return sight

    def _empty(self, size: int) -> tuple[Int64[np.ndarray, " pixels"], UInt8[np.ndarray, "H W 3"]]:
        if size not in self._blank:
            self._blank[size] = np.tile(np.array(BACKGROUND, dtype=np.uint8), (size, size, 1))
        return np.full(size * size, np.int64(self._max_depth) << DEPTH_SHIFT), self._blank[size].copy()

    def _still_image(self, view: View, sight: _Sight) -> StillImage:
        """The image of the still shapes, drawn again if they have changed."""
        kept = self._still_images.get(view)
        if kept is None or kept.version != self._layer.version:
            keys, rgb = self._empty(view.size)
            background = keys[0]
            self._draw(self._layer.still, sight, keys)
            pixels = np.flatnonzero(keys != background).astype(np.int32)
            ordered, surfaces = self._shade(pixels, keys, sight, self._shadow_map.still, rgb)
            num_rows, num_columns = self._shadow_map.still.shape
            first_places = np.empty(num_rows + 1, dtype=np.int64)
            columns, places = np.empty_like(pixels), np.empty_like(pixels)
            pixels_by_texel(surfaces, num_columns, first_places, columns, places)
            kept = self._still_images[view] = StillImage(
                self._layer.version, keys, rgb, ordered, surfaces, first_places, columns, places
            )
        return kept

    def _draw(
        self, shapes: Int32[np.ndarray, " n"], sight: _Sight, keys: Int64[np.ndarray, " pixels"]
    ) -> Int64[np.ndarray, "4"]:
        """Draws shapes into the keys of an image. Returns the bounds of what was drawn."""
        triangles = self._geometry.triangles
        count = blocks_in_view(
            shapes,
            triangles.first_blocks,
            triangles.spheres,
            triangles.cones,
            sight.projections,
            sight.eyes,
            self._chosen,
        )
        bounds: Int64[np.ndarray, "4"] = draw_blocks(
            self._chosen[:count],
            triangles.corners,
            triangles.numbers,
            triangles.block_shapes,
            sight.projections,
            sight.ranks,
            sight.near_m,
            self._max_depth,
            keys.reshape(sight.size, sight.size),
        )
        return bounds

    def _shade(
        self,
        pixels: Int32[np.ndarray, " n"],
        keys: Int64[np.ndarray, " pixels"],
        sight: _Sight,
        shadow: UInt16[np.ndarray, "rows columns"],
        rgb: UInt8[np.ndarray, "H W 3"],
    ) -> tuple[Int32[np.ndarray, " n"], Float32[np.ndarray, "8 n"]]:
        """Computes the colours of some pixels. Returns the pixels in another order, and their surfaces."""
        ordered, first_pixels = np.empty_like(pixels), np.empty(len(self._frames) + 1, dtype=np.int64)
        surfaces = np.empty((SURFACE_DIM, len(pixels)), dtype=np.float32)
        pixels_by_shape(pixels, keys, self._geometry.triangles.shapes, first_pixels, ordered)
        light_pixels(
            ordered,
            first_pixels,
            keys,
            sight.size,
            self._geometry.triangles.attributes,
            sight.views,
            sight.eye,
            sight.rays,
            self._geometry.textures.levels,
            self._geometry.textures.texels,
            self._light,
            surfaces,
        )
        finish_pixels(np.arange(len(pixels), dtype=np.int32), ordered, surfaces, shadow, sight.size, rgb)
        return ordered, surfaces
