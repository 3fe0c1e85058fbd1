"""Two figures as images, against those that were looked at. Fonts differ a little between versions of matplotlib.

To make the images again: CALVINBENCH_NEW_IMAGES=1 pytest tests/harness/report/plots/test_images.py. Then look at them.
"""

import os
from pathlib import Path

import pytest
from matplotlib.testing.compare import compare_images

from calvinbench.harness.report import plots
from calvinbench.harness.report.plots.style import figure_of

IMAGES = Path(__file__).parent / "images"
_MAX_RMS = 12.0
"""Of the pixels' differences, from 0 to 255. A changed colour or a missing curve gives more."""
_DPI = 70


def image_of(axes, file):
    figure_of(axes).savefig(file, dpi=_DPI, metadata={"Software": None})
    return file


@pytest.mark.parametrize(("name", "draw"), [("survival", plots.survival), ("latency", plots.latency)])
def test_a_figure_looks_as_it_did(make_methods, tmp_path, name, draw):
    drawn = image_of(draw(make_methods(7)), tmp_path / f"{name}.png")
    expected = IMAGES / f"{name}.png"
    if os.environ.get("CALVINBENCH_NEW_IMAGES"):
        IMAGES.mkdir(exist_ok=True)
        expected.write_bytes(drawn.read_bytes())
    assert expected.stat().st_size < 30_000
    assert compare_images(str(expected), str(drawn), tol=_MAX_RMS) is None


def test_the_comparison_of_images_finds_another_color(make_methods, tmp_path):
    methods = make_methods(7)
    one = image_of(plots.tasks(methods), tmp_path / "one.png")
    other = image_of(plots.tasks(methods[:6]), tmp_path / "other.png")
    assert compare_images(str(one), str(other), tol=_MAX_RMS) is not None
