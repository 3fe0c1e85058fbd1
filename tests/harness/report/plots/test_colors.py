"""The palette: what survives grey printing and colour blindness, and that a method keeps its colour."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from calvinbench.harness.report import plots
from calvinbench.harness.report.plots.colors import looks
from calvinbench.harness.report.plots.drawing.curves import MOST_TOGETHER

# Machado, Oliveira and Fernandes (2009), severity 1, for linear RGB.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def linear(color):
    value = np.array(to_rgb(color))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ rgb / to_xyz.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def seen(color, vision):
    return lab(np.clip(np.array(VISIONS[vision]) @ linear(color), 0, 1))


@pytest.mark.parametrize("vision", VISIONS)
def test_all_colors_are_apart(vision):
    pairs = combinations(plots.PALETTE, 2)
    assert min(np.linalg.norm(seen(one, vision) - seen(other, vision)) for one, other in pairs) > 13


def test_colors_of_one_pair_of_axes_differ_in_grey():
    lightness = sorted(seen(color, "normal")[0] for color in plots.PALETTE[:MOST_TOGETHER])
    assert min(np.diff(lightness)) > 7


def test_all_colors_are_dark_enough_for_lines_and_text_on_white():
    luminances = [linear(color) @ [0.2126, 0.7152, 0.0722] for color in plots.PALETTE]
    assert max(1.05 / (luminance + 0.05) for luminance in luminances) <= 21
    assert min(1.05 / (luminance + 0.05) for luminance in luminances) >= 3  # WCAG 2.1, graphics


def test_a_method_has_one_color_and_marker_in_all_figures(make_methods):
    methods = make_methods(9)
    colors = plots.method_colors(methods)
    assert len(set(colors.values())) == 9
    curves = plots.survival(methods, colors=colors, order=["cnn", "qwen-vl"]).get_lines()
    assert [curve.get_color() for curve in curves] == [colors["cnn"], colors["qwen-vl"]]
    points = plots.tradeoff(methods, colors=colors).containers
    by_name = {container.get_label(): container.lines[0] for container in points}
    assert by_name["qwen-vl"].get_color() == colors["qwen-vl"]
    assert by_name["qwen-vl"].get_marker() == curves[1].get_marker()


def test_colors_that_are_given_win_and_the_others_stay_distinct():
    found = looks(["a", "b", "c"], {"b": plots.PALETTE[0]})
    assert found["b"].color == plots.PALETTE[0]
    assert len({look.color for look in found.values()}) == 3
    assert looks(["a", "b"], ["red", "green"])["b"].color == "green"
