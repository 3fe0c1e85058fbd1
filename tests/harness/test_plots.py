import numpy as np
import pytest
from matplotlib.figure import Figure

from calvinbench.harness import plots


@pytest.fixture
def runs(run_fake, tmp_path):
    return [run_fake(policy, directory=tmp_path / policy) for policy in ("solver", "idle", "raises")]


def test_the_survival_curve_shows_the_rates_of_each_run(runs):
    ax = plots.survival(runs)
    solver, idle, _ = ax.get_lines()
    assert np.allclose(solver.get_ydata(), 100 * np.array([5, 4, 4, 2, 2]) / 6)
    assert np.allclose(idle.get_ydata(), 0)
    assert len(ax.collections) == 3  # a band each


def test_runs_differ_in_line_and_marker_not_only_in_colour(runs):
    lines = plots.survival(runs).get_lines()
    assert len({line.get_linestyle() for line in lines}) == 3
    assert len({line.get_marker() for line in lines}) == 3


def test_task_bars_show_rate_and_count(runs):
    ax = plots.tasks(runs[:1])
    widths = {
        label.get_text(): bar.get_width() for label, bar in zip(ax.get_yticklabels(), sorted_bars(ax), strict=True)
    }
    assert widths["open drawer"] == 100
    assert widths["stack block"] == 0
    counts = [text.get_text() for text in ax.texts]
    assert "n" in counts
    assert counts.count("4") >= 1


def sorted_bars(ax):
    return sorted(ax.patches, key=lambda bar: bar.get_y())


@pytest.mark.parametrize("draw", [plots.survival, plots.tasks])
def test_a_plot_goes_into_the_axes_it_is_given(runs, draw):
    ax = Figure().add_subplot()
    assert draw(runs, ax=ax) is ax


@pytest.mark.parametrize("draw", [plots.survival, plots.tasks])
def test_figures_fit_a_column_with_8_point_text(runs, draw):
    ax = draw(runs)
    assert ax.get_figure().get_size_inches()[0] == 3.4
    texts = [ax.xaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels(), *ax.get_legend().get_texts()]
    assert {text.get_fontsize() for text in texts} == {8.0}


def test_figures_are_written_as_pdf_svg_and_png_the_same_each_time(runs, tmp_path):
    first = plots.save(plots.survival(runs), tmp_path / "a")
    again = plots.save(plots.survival(runs), tmp_path / "b")
    assert [path.suffix for path in first] == [".pdf", ".svg", ".png"]
    assert first[0].read_bytes().startswith(b"%PDF")
    assert first[2].read_bytes().startswith(b"\x89PNG")
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
