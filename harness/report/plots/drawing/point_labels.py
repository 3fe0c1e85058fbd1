"""Names of points in a plane, placed so that they cover neither each other nor points."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from calvinbench.harness.report.plots.drawing.canvas import size_in
from calvinbench.harness.report.plots.drawing.direct_labels import LabelledPoint, label_at_right
from calvinbench.harness.report.plots.drawing.text_layout import height_in, width_in
from calvinbench.harness.report.plots.style import figure_of, small_pt

_DISTANCES_PT = (4.0, 8.0, 13.0, 19.0, 26.0, 34.0)
"""From a point to its name, the nearest first; farther ones have a line to the point."""
_LINE_FROM_PT = 10.0
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
_POINT_PT = 3.0


def label_points(
    ax: Axes,
    points: Sequence[LabelledPoint],
    intervals: Sequence[tuple[float, float, float]],
    figure_width_in: float,
) -> None:
    """Writes each name beside its point; if they do not all fit, all in a column at the right of the axes.

    Args:
        ax: The axes, with their final limits.
        points: The names and their points.
        intervals: Upright lines to keep clear of: x, low and high, in data units.
        figure_width_in: Width of the axes' cell of the figure.
    """
    size_in(ax)
    scale = figure_of(ax).dpi / 72
    to_pixels = ax.transData.transform
    obstacles = [_around(to_pixels((point.x, point.y)), _POINT_PT * scale) for point in points]
    for x, low, high in intervals:
        ends = to_pixels([(x, low), (x, high)])
        obstacles.append(Bbox([ends[0] - scale, ends[1] + scale]))
    inside = ax.get_window_extent().frozen()
    placed: list[tuple[int, int, float]] = []
    crowded = sorted(range(len(points)), key=lambda place: -points[place].y)
    for place in crowded:
        found = _free_place(points[place], to_pixels((points[place].x, points[place].y)), obstacles, inside, scale)
        if found is None:
            label_at_right(ax, points, figure_width_in)
            return
        box, direction, distance = found
        obstacles.append(box)
        placed.append((place, direction, distance))
    for place, direction, distance in placed:
        _write(ax, points[place], _DIRECTIONS[direction], distance)


def _around(centre: np.ndarray, reach: float) -> Bbox:
    return Bbox([centre - reach, centre + reach])


def _free_place(
    point: LabelledPoint, at: np.ndarray, obstacles: Sequence[Bbox], inside: Bbox, scale: float
) -> tuple[Bbox, int, float] | None:
    """The name's box, direction and distance from its point; None if there is no room."""
    size = small_pt()
    box_size = np.array([width_in(point.name, size) * 72 + 1, height_in(point.name, size) * 72]) * scale
    for distance in _DISTANCES_PT:
        for number, (right, up) in enumerate(_DIRECTIONS):
            aside = distance / np.hypot(right, up) * scale
            corner = at + aside * np.array([right, up]) + box_size * (np.array([right, up]) - 1) / 2
            box = Bbox([corner, corner + box_size])
            is_inside = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
            if is_inside and not any(box.overlaps(other) for other in obstacles):
                return box, number, distance
    return None


def _write(ax: Axes, point: LabelledPoint, direction: tuple[int, int], distance: float) -> None:
    right, up = direction
    aside = distance / np.hypot(right, up)
    line = {"arrowstyle": "-", "color": point.color, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2}
    ax.annotate(
        point.name,
        (point.x, point.y),
        xytext=(aside * right, aside * up),
        textcoords="offset points",
        ha={1: "left", 0: "center", -1: "right"}[right],
        va={1: "bottom", 0: "center", -1: "top"}[up],
        fontsize=small_pt(),
        color=point.color,
        arrowprops=line if distance > _LINE_FROM_PT else None,
    )
