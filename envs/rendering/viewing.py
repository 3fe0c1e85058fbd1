"""The world as seen by a camera and by the light: for each image, a matrix for each shape."""

import numpy as np

from calvinbench.envs.rendering.compiled import compiled

_MAX_DISTANCE_M = 16.0
"""Shapes farther than this from the world's origin, along a camera's axis, have the same rank."""


@compiled
def see_from_camera(
    view, lens, size, num_ranks, shape_frames, centres, colours, projections, eyes, views, ranks, eye, rays
):
    """Prepares a camera's image.

    Args:
        view: (4, 4) float64, from the world to the camera's frame: right, up, backward.
        lens: (4, 4) float64, from the camera's frame to clip coordinates.
        size: Width and height in pixels.
        num_ranks: Number of ranks.
        shape_frames: (shapes, 4, 4) float64, where the shapes are.
        centres: (shapes, 3) float64, see `geometry.Shapes`.
        colours: (shapes, 3) float64.
        projections: (shapes, 16) float32, to be filled: from each shape's frame to clip coordinates.
        eyes: (shapes, 3) float32, to be filled: the camera's place in each shape's frame.
        views: (shapes, 24) float32, to be filled, see `shading.light_pixels`.
        ranks: (shapes,) int64, to be filled. Of two shapes at the same depth, the lower rank wins.
        eye: (3,) float32, to be filled: the camera's place.
        rays: (3, 3) float32, to be filled: the ray through the image's lower left corner, scaled to one metre along the
            camera's axis, and its change by column and by row.
    """
    place, corner, by_column, by_row = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    for i in range(3):
        for k in range(3):
            place[i] -= view[k, i] * view[k, 3]
        by_column[i] = view[0, i] / lens[0, 0]
        by_row[i] = view[1, i] / lens[1, 1]
        corner[i] = -view[2, i] - by_column[i] - by_row[i]
        by_column[i] *= 2.0 / size
        by_row[i] *= 2.0 / size
        eye[i] = place[i]
        rays[0, i], rays[1, i], rays[2, i] = corner[i], by_column[i], by_row[i]
    clip = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            for k in range(4):
                clip[i, j] += lens[i, k] * view[k, j]
    for shape in range(len(shape_frames)):
        frame = shape_frames[shape]
        for i in range(4):
            for j in range(4):
                total = 0.0
                for k in range(4):
                    total += clip[i, k] * frame[k, j]
                projections[shape, 4 * i + j] = total
        along = 0.0
        for i in range(3):
            to_eye, ray, ray_by_column, ray_by_row = 0.0, 0.0, 0.0, 0.0
            for k in range(3):
                turned = frame[k, i]
                to_eye += turned * (place[k] - frame[k, 3])
                ray += turned * corner[k]
                ray_by_column += turned * by_column[k]
                ray_by_row += turned * by_row[k]
                views[shape, 12 + 3 * k + i] = turned
            eyes[shape, i] = to_eye
            views[shape, i], views[shape, 3 + i], views[shape, 6 + i] = ray, ray_by_column, ray_by_row
            views[shape, 9 + i] = to_eye
            views[shape, 21 + i] = colours[shape, i]
            centre = frame[i, 3]
            for k in range(3):
                centre += frame[i, k] * centres[shape, k]
            along -= view[2, i] * centre
        # Bullet draws the shapes whose centres lie farther along the camera's axis first.
        rank = int(np.floor((_MAX_DISTANCE_M - along) / (2 * _MAX_DISTANCE_M) * num_ranks))
        ranks[shape] = max(0, min(num_ranks - 1, rank))


@compiled
def see_from_light(light, direction, shape_frames, bounds, projections, directions, reach):
    """Prepares the shadow map.

    Args:
        light: (4, 4) float64, from the world to the clip coordinates of the map.
        direction: (3,) float64, where the light goes.
        shape_frames: (shapes, 4, 4) float64.
        bounds: (shapes, 4) float32, centre and radius of a sphere around each shape, in its frame.
        projections: (shapes, 16) float32, to be filled: from each shape's frame to clip coordinates.
        directions: (shapes, 3) float32, to be filled: where the light goes, in each shape's frame.
        reach: (shapes, 4) float64, to be filled: the spheres' centres and radii in the world.
    """
    for shape in range(len(shape_frames)):
        frame = shape_frames[shape]
        for i in range(4):
            for j in range(4):
                total = 0.0
                for k in range(4):
                    total += light[i, k] * frame[k, j]
                projections[shape, 4 * i + j] = total
        for i in range(3):
            local, centre = 0.0, frame[i, 3]
            for k in range(3):
                local += frame[k, i] * direction[k]
                centre += frame[i, k] * bounds[shape, k]
            directions[shape, i] = local
            reach[shape, i] = centre
        reach[shape, 3] = bounds[shape, 3]
