"""The style sheet ships, an author's settings win over it, and figures are saved the same each time."""

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot, rc_context
from matplotlib.figure import Figure
from matplotlib.image import imread

from calvinbench.harness.report import plots
from calvinbench.harness.report.plots.drawing.log_axis import logarithmic
from calvinbench.harness.report.plots.drawing.text_layout import breaks_no_word, shorten, spread, width_in, wrap
from calvinbench.harness.report.plots.style import figure_of, style


def test_pyplot_finds_the_style_sheet_by_its_name_and_by_its_path():
    for name in (plots.STYLE_NAME, plots.style_path()):
        with pyplot.style.context(name):
            assert matplotlib.rcParams["font.size"] == 8
            assert matplotlib.rcParams["pdf.fonttype"] == 42
            colors = [each["color"] for each in matplotlib.rcParams["axes.prop_cycle"]]
            assert colors == list(plots.PALETTE)


def test_the_sheet_is_in_force_while_drawing_and_not_after(make_methods):
    before = dict(matplotlib.rcParams)
    axes = plots.survival(make_methods(2))
    assert axes.xaxis.label.get_fontsize() == 8
    assert dict(matplotlib.rcParams) == before


def test_an_authors_settings_win(make_methods):
    with rc_context({"font.size": 11, "axes.spines.top": True, "image.cmap": "Greens"}):
        with style():
            assert matplotlib.rcParams["image.cmap"] == "Greens"
            assert matplotlib.rcParams["lines.linewidth"] == 1.2  # ours, for the author set none
        axes = plots.survival(make_methods(2))
        assert axes.xaxis.label.get_fontsize() == 11
    assert plots.survival(make_methods(2)).xaxis.label.get_fontsize() == 8


@pytest.mark.usefixtures("rendered_figures")
def test_figures_are_written_in_the_formats_that_are_asked_for_the_same_each_time(make_methods, tmp_path):
    methods = make_methods(7)
    first, again = (plots.save(plots.survival(methods), tmp_path / name) for name in "ab")
    assert [path.suffix for path in first] == [".pdf", ".svg", ".png"]
    assert [one.read_bytes() for one in first] == [other.read_bytes() for other in again]
    assert imread(first[2]).shape[1] == 1020  # 3.4 inches at 300 dpi
    (only,) = plots.save(plots.latency(methods), tmp_path / "with.dot", formats=("png",))
    assert only.name == "with.dot.png"
    with pytest.raises(ValueError, match="figure format"):
        plots.save(plots.latency(methods), tmp_path / "c", formats=("bmp",))


def test_axes_without_a_figure_are_refused():
    axes = Figure().add_subplot()
    axes.remove()
    with pytest.raises(ValueError, match="belong to a figure"):
        figure_of(axes)


def test_names_break_after_words_and_hyphens_and_keep_all_letters():
    name = "minilm-effnet, no memory"
    lines = wrap(name, 0.8, 8.0).split("\n")
    assert len(lines) > 1
    assert "".join(line.strip() for line in lines).replace(" ", "") == name.replace(" ", "")
    assert all(width_in(line, 8.0) <= 0.8 for line in lines)
    assert breaks_no_word(name, 0.8, 8.0)
    assert not breaks_no_word("incomprehensibilities", 0.8, 8.0)


def test_a_shortened_name_keeps_its_ends():
    short = shorten("checkpoint-comparison-paligemma-seed1", 1.0, 8.0)
    assert short.startswith("chec")
    assert short.endswith("seed1")
    assert width_in(short, 8.0) <= 1.0


def test_spread_moves_only_what_overlaps_and_stays_inside():
    assert spread([0.0, 5.0], [1.0, 1.0], -1.0, 6.0).tolist() == [0, 5]
    centres = spread([2.0, 2.0, 2.1, 9.5], [1.0] * 4, 0.0, 10.0)
    assert (np.diff(centres) >= 1 - 1e-9).all()
    assert centres.min() >= 0.5
    assert centres.max() <= 9.5
    assert centres[:3].mean() == pytest.approx(2.1 - 0.2 / 3)


@pytest.mark.parametrize(
    ("low", "high"), [(0.05, 0.2), (6.5, 17.0), (4.0, 40.0), (0.001, 3.0), (0.18, 0.19), (5.0, 5.2)]
)
def test_ticks_of_logarithmic_axes_are_few_and_plain(low, high):
    axes = Figure().add_subplot()
    axes.plot([low, high], [low, high])
    for which in ("x", "y"):
        logarithmic(axes, which)
    axes.figure.draw_without_rendering()
    for axis in (axes.xaxis, axes.yaxis):
        start, end = axis.get_view_interval()
        texts = [label.get_text() for label in axis.get_majorticklabels()]
        assert 3 <= len(texts) <= 7
        assert all(start <= float(text) <= end for text in texts)
        assert not any(sign in text for text in texts for sign in "e^$")
