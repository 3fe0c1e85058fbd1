"""No figure cuts off or overprints its text, at the width of a column and of a page, with one to sixteen methods."""

import warnings
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from calvinbench.harness.analysis.comparison import compare
from calvinbench.harness.report import plots
from calvinbench.harness.report.plots.style import figure_of
from calvinbench.policies.training.log import LogLine
from support.method_names import LONG_NAMES, NAMES

CASES = (
    (1, NAMES, plots.WIDTH_IN),
    (3, NAMES, plots.WIDE_IN),
    (7, NAMES, plots.WIDTH_IN),
    (12, NAMES, plots.WIDE_IN),
    (16, NAMES, plots.WIDTH_IN),
    (7, LONG_NAMES, plots.WIDE_IN),
    (16, LONG_NAMES, plots.WIDTH_IN),
)
"""Numbers of methods, their names, and the figure's width in inches. The most methods stand at the narrow width."""
RUN_FIGURES = ("survival", "conditional", "tasks", "latency", "tradeoff", "memory", "first_failures")
_TOLERANCE_PX = 1.0
_MAX_LEGEND_SHARE = 0.2


def draw(name, methods, **options):
    if name == "forest":
        return plots.forest(compared(methods), **options)
    if name == "losses":
        return plots.losses({method.name: log(place) for place, method in enumerate(methods)}, **options)
    return getattr(plots, name)(methods, **options)


def compared(methods):
    """The comparison of the methods' runs, under the methods' names."""
    runs = [
        replace(method.runs[0], description=replace(method.runs[0].description, label=method.name))
        for method in methods
    ]
    return compare(runs)


def log(place):
    return [
        LogLine(step, 0.0, 0, 0, 0.0, loss, loss, 0.0, 1.0, 1e-3, None, loss * 1.1 if step % 500 == 0 else None)
        for step in range(50, 2001, 50)
        for loss in [(0.05 + 0.005 * place) * (1 + 400 / step)]
    ]


def texts_of(figure):
    """The texts that are seen, with their boxes in pixels."""
    figure.draw_without_rendering()
    found = []
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [(tick.get_loc(), label) for tick in axis.get_major_ticks() for label in (tick.label1, tick.label2)]
            outside = {id(label) for at, label in ticks if not low - 1e-9 <= at <= high + 1e-9}
            outside |= {id(label) for label in axis.get_minorticklabels()}
            found += [(text, id(text) in outside) for text in axis.findobj(Text)]
    of_axes = {id(text) for text, _ in found}
    hidden = {id(text) for text, is_outside in found if is_outside}
    every = [text for text, _ in found] + [text for text in figure.findobj(Text) if id(text) not in of_axes]
    return [
        (text, Text.get_window_extent(text))  # of an annotation, without its line
        for text in dict.fromkeys(every)
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden
    ]


def require_clean(figure):
    texts = texts_of(figure)
    assert texts
    whole = figure.bbox
    for text, box in texts:
        said = repr(text.get_text())
        assert box.x0 >= whole.x0 - _TOLERANCE_PX, f"{said} leaves the figure at the left"
        assert box.x1 <= whole.x1 + _TOLERANCE_PX, f"{said} leaves the figure at the right"
        assert box.y0 >= whole.y0 - _TOLERANCE_PX, f"{said} leaves the figure below"
        assert box.y1 <= whole.y1 + _TOLERANCE_PX, f"{said} leaves the figure above"
        assert text.get_fontsize() >= 6, f"{said} is smaller than 6 pt"
    for (one, box), (other, other_box) in combinations(texts, 2):
        across = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
        along = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
        is_apart = across <= _TOLERANCE_PX or along <= _TOLERANCE_PX
        assert is_apart, f"{one.get_text()!r} overlaps {other.get_text()!r}"
    for legend in figure.findobj(Legend):
        box = legend.get_window_extent()
        assert box.width * box.height < _MAX_LEGEND_SHARE * whole.width * whole.height


@pytest.mark.parametrize(
    ("number", "names", "width"),
    CASES,
    ids=lambda value: value if not isinstance(value, tuple) else "long-names" if value is LONG_NAMES else "names",
)
@pytest.mark.parametrize("name", [*RUN_FIGURES, "forest", "losses"])
def test_no_text_is_cut_off_or_overprinted(make_methods, name, number, width, names):
    if name == "forest" and number == 1:
        pytest.skip("one method has no pair")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes = draw(name, make_methods(number, names), width=width)
        figure = figure_of(axes)
        require_clean(figure)
    assert figure.get_figwidth() == pytest.approx(width)
    assert figure.get_figheight() <= 9.5 or names is LONG_NAMES
    plots.close(axes)


def test_the_check_of_texts_finds_what_is_wrong():
    figure = Figure(figsize=(2, 2))
    figure.text(0.1, 0.5, "one")
    require_clean(figure)
    over = figure.text(0.12, 0.5, "two")
    with pytest.raises(AssertionError, match="overlaps"):
        require_clean(figure)
    over.set_position((0.95, 0.8))
    with pytest.raises(AssertionError, match="leaves the figure at the right"):
        require_clean(figure)


@pytest.mark.parametrize("name", [*RUN_FIGURES, "forest", "losses"])
def test_plain_axes_keep_their_labels_inside_their_half_of_the_figure(make_methods, name):
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 6))
    methods = make_methods(5)
    assert draw(name, methods, ax=left) is left
    figure.draw_without_rendering()
    inside = left.get_tightbbox()
    assert inside.x0 >= 0
    assert inside.x1 <= right.get_window_extent().x0
    assert right.get_legend() is None
    assert not figure.legends
    pyplot.close(figure)


def test_every_method_is_in_the_figure(make_methods):
    methods = make_methods(16)
    panels = plots.survival(methods)
    assert isinstance(panels, np.ndarray)
    assert [panel.get_title(loc="left").replace("\n", " ") for panel in panels] == list(NAMES)
    for name in ("tasks", "latency", "tradeoff"):
        figure = figure_of(draw(name, methods))
        said = {text.get_text().replace("-\n", "-").replace("\n", " ") for text in figure.findobj(Text)}
        assert set(NAMES) <= said, name
