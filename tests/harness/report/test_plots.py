import io
import subprocess
import sys
import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from calvinbench.envs.tasks import TASKS
from calvinbench.harness.analysis.comparison import compare
from calvinbench.harness.analysis.paired_statistics import PairedDifference
from calvinbench.harness.analysis.statistics import Interval, survival_curve, task_success
from calvinbench.harness.report import plots
from calvinbench.policies.policy import Memory

pytestmark = pytest.mark.usefixtures("rendered_figures")


@pytest.fixture
def runs(run_fake, tmp_path):
    return [run_fake(policy, directory=tmp_path / policy) for policy in ("solver", "idle", "raises")]


def test_the_survival_curve_shows_the_rates_of_each_run(runs):
    ax = plots.survival(runs)
    solver, idle, _ = ax.get_lines()
    assert np.allclose(solver.get_ydata(), 100 * np.array([5, 4, 4, 2, 2]) / 6)
    assert np.allclose(idle.get_ydata(), 0)
    assert len(ax.collections) == 3
    for band, run in zip(ax.collections, runs, strict=True):
        heights = band.get_paths()[0].vertices[:, 1]
        curve = survival_curve(run.completed, np.random.default_rng(0))
        assert np.isclose(heights.max(), 100 * curve.high.max())
        assert np.isclose(heights.min(), 100 * curve.low.min())
        assert heights.max() > heights.min()


def test_bands_of_many_runs_stand_side_by_side(runs):
    several = many(runs, 5)
    ax = plots.survival(several)
    places = {line.get_xdata()[0] for line in ax.get_lines()}
    assert len(places) == 5
    assert all(abs(place - 1) < 0.5 for place in places)
    for line, bars, run in zip(ax.get_lines(), ax.collections, several, strict=True):
        curve = survival_curve(run.completed, np.random.default_rng(0))
        ends = np.array(bars.get_segments())
        assert np.allclose(ends[:, 0, 0], line.get_xdata())
        assert np.allclose(ends[:, 0, 1], 100 * curve.low)
        assert np.allclose(ends[:, 1, 1], 100 * curve.high)


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
    success = task_success(runs[0].records)
    counts = [text.get_text() for text in ax.texts]
    assert counts == [str(success[task].num_trials) for task in sorted(success, reverse=True)] + ["n"]
    (bars,) = ax.containers[1].lines[2]
    for task, (low, high) in zip(sorted(success, reverse=True), bars.get_segments(), strict=True):
        interval = success[task].interval
        assert np.allclose([low[0], high[0]], [100 * interval.low, 100 * interval.high])


def test_counts_that_differ_between_runs_are_a_range(runs):
    counts = [text.get_text() for text in plots.tasks(runs[:2]).texts]
    assert "1\u20133" in counts


def test_many_runs_have_a_panel_of_task_bars_each_over_both_columns(runs):
    nine = many(runs, 9)
    figure = plots.tasks(nine).get_figure()
    assert figure.get_size_inches()[0] == 7.0
    assert [ax.get_title(loc="left") for ax in figure.axes] == [f"r{number}" for number in range(9)]
    success = task_success(runs[1].records)
    for ax in figure.axes:
        assert len(ax.patches) == len(success)
        (bars,) = ax.containers[1].lines[2]
        for task, (low, high) in zip(sorted(success, reverse=True), bars.get_segments(), strict=True):
            interval = success[task].interval
            assert np.allclose([low[0], high[0]], [100 * interval.low, 100 * interval.high])
    figure.draw_without_rendering()
    assert [len(ax.texts) > 0 for ax in figure.axes] == [False] * 8 + [True]  # n, once
    assert len(plots.tasks(many(runs, 4)).get_figure().axes) == 1


@pytest.mark.parametrize("num_runs", [5, 6, 7, 9, 12])
def test_titles_of_panels_and_counts_touch_nothing(runs, num_runs):
    labelled = [
        replace(run, description=replace(run.description, label=f"mo{number}dream-eff (31.3M, pretrained, trained)"))
        for number, run in enumerate(many(runs, num_runs))
    ]
    figure = plots.tasks(labelled).get_figure()
    figure.draw_without_rendering()
    titles = [ax._left_title.get_window_extent() for ax in figure.axes]
    assert all(one.x1 < other.x0 for one, other in pairwise(titles))
    assert all(title.y1 < figure.bbox.y1 for title in titles)
    last = figure.axes[-1]
    (bars,) = last.containers[1].lines[2]
    end_of_intervals = last.transData.transform([segment[1] for segment in bars.get_segments()])[:, 0].max()
    assert all(text.get_window_extent().x0 > end_of_intervals + 2 for text in last.texts)
    assert not any(title.overlaps(text.get_window_extent()) for title in titles for text in last.texts)


def test_more_than_a_row_of_panels_are_two_rows(runs):
    figure = plots.tasks(many(runs, 13)).get_figure()
    shown = [ax for ax in figure.axes if ax.axison]
    assert len(shown) == 13
    assert len({round(ax.get_position().y0, 3) for ax in shown}) == 2


@pytest.mark.parametrize("draw", [plots.survival, plots.tradeoff])
def test_a_long_legend_leaves_the_axes_their_height(runs, draw):
    heights = []
    for num_runs in (3, 12):
        ax = draw(timed(many(runs, num_runs)))
        figure = ax.get_figure()
        figure.draw_without_rendering()
        heights.append(ax.get_position().height * figure.get_size_inches()[1])
    assert heights[1] > 0.9 * heights[0] > 0.9


def timed(runs):
    """The runs with policies' times that lie within a factor of two."""
    made = []
    for number, run in enumerate(runs):
        milliseconds = 6.5 + number / 10
        records = tuple(
            replace(
                record,
                subtasks=tuple(
                    replace(subtask, policy_ms=milliseconds, policy_ms_counts={f"{milliseconds:.2g}": subtask.steps})
                    for subtask in record.subtasks
                ),
            )
            for record in run.records
        )
        made.append(replace(run, records=records))
    return made


def test_every_one_of_fourteen_runs_looks_different(runs):
    lines = plots.survival(many(runs, 14)).get_lines()
    assert len({(line.get_color(), line.get_marker(), line.get_markerfacecolor()) for line in lines}) == 14


@pytest.mark.parametrize("num_runs", [1, 12])
def test_times_stand_on_their_axis_in_plain_numbers(runs, num_runs):
    ax = plots.tradeoff(timed(many(runs, num_runs)))
    ax.get_figure().draw_without_rendering()
    low, high = ax.get_xlim()
    assert high / low >= 1.99
    shown = [
        label.get_text()
        for place, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
        if low <= place <= high
    ]
    assert len(shown) >= 2
    assert all(text.replace(".", "").isdigit() for text in shown)
    assert {"5", "6", "7"} & set(shown)


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
    (legend,) = ax.get_figure().legends
    texts = [ax.xaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels(), *legend.get_texts(), *ax.texts]
    assert {text.get_fontsize() for text in texts} == {8.0}


@pytest.mark.parametrize("draw", [plots.survival, plots.tasks])
def test_long_labels_leave_room_for_the_axes(runs, draw, tmp_path):
    named = [
        replace(run, description=replace(run.description, label=f"{letter}: a policy with quite a long label, trained"))
        for run, letter in zip(runs, "abc", strict=True)
    ]
    ax = draw(named)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.save(ax, tmp_path / "figure")
    figure = ax.get_figure()
    assert ax.get_position().width > 0.4
    extent = figure.legends[0].get_window_extent()
    assert extent.x1 <= figure.bbox.x1


def test_beside_other_axes_the_legend_stays_with_its_own(runs):
    first, second = Figure().subplots(1, 2)
    plots.survival(runs, ax=first)
    assert first.get_legend() is not None
    assert second.get_legend() is None


def test_figures_are_written_as_pdf_svg_and_png_the_same_each_time(runs, tmp_path):
    first = plots.save(plots.survival(runs), tmp_path / "a")
    again = plots.save(plots.survival(runs), tmp_path / "b")
    assert [path.suffix for path in first] == [".pdf", ".svg", ".png"]
    assert first[0].read_bytes().startswith(b"%PDF")
    assert first[2].read_bytes().startswith(b"\x89PNG")
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_the_forest_shows_each_difference_with_its_interval(runs):
    comparison = compare(runs[:2])
    ax = plots.forest(comparison)
    (pair,) = comparison.pairs
    (container,) = ax.containers
    assert container.lines[0].get_xdata().tolist() == [pair.difference.value]
    (bar,) = container.lines[2][0].get_segments()
    assert np.allclose(bar[:, 0], [pair.difference.interval.low, pair.difference.interval.high])
    assert [text.get_text() for text in ax.texts] == ["solver \u2020\nminus idle"]
    assert len(plots.forest(compare(runs)).containers) == 3


def many(runs, num_runs):
    """So many runs of unlike names; the last is the best."""
    made = []
    for number in range(num_runs):
        records = tuple(replace(record, completed=min(number // 2, 5)) for record in runs[1].records)
        made.append(replace(runs[1], description=replace(runs[1].description, label=f"r{number}"), records=records))
    return made


def test_of_many_pairs_the_forest_shows_those_with_the_best(runs):
    assert len(compare(many(runs, 6)).shown_pairs) == 15
    comparison = compare(many(runs, 9))
    assert len(comparison.pairs) == 36
    shown = comparison.shown_pairs
    assert len(shown) == 8
    assert all("r8" in pair.labels for pair in shown)
    assert len(plots.forest(comparison).containers) == 8


def test_against_a_reference_the_forest_names_it_once(runs):
    ax = plots.forest(compare(runs, reference="idle"))
    assert [text.get_text() for text in ax.texts] == ["solver, raises \u2020", "solver, solver \u2020"]
    assert ax.get_xlabel() == "difference in average length\nfrom idle"


LONG_NAME = "a policy whose label says what it is, how large, from where, and on what it was trained"


def test_long_names_fit_into_the_forest(runs):
    named = [
        replace(run, description=replace(run.description, label=f"{letter}: {LONG_NAME}"))
        for run, letter in zip(runs, "abc", strict=True)
    ]
    ax = plots.forest(compare(named))
    figure = ax.get_figure()
    figure.draw_without_rendering()
    assert len(ax.texts) == 3
    assert all(text.get_window_extent().x1 <= figure.bbox.x1 for text in ax.texts)


def test_a_difference_that_is_not_told_from_0_has_a_hollow_mark(runs):
    comparison = compare(runs[:2])
    clear = PairedDifference(1.0, Interval(0.5, 1.5), "bootstrap", 0.01, 300)
    vague = PairedDifference(1.0, Interval(-0.1, 2.1), "bootstrap", 0.06, 300)
    for adjusted, by_chains, by_states, colour in (
        (0.01, clear, clear, "black"),
        (0.06, clear, clear, "white"),
        (0.01, vague, clear, "white"),
        (0.01, clear, vague, "white"),
        (None, clear, clear, "black"),
    ):
        pair = replace(comparison.pairs[0], difference=by_chains, clustered=by_states, adjusted_p_value=adjusted)
        (container,) = plots.forest(replace(comparison, pairs=(pair,))).containers
        assert container.lines[0].get_markerfacecolor() == colour


def test_first_failures_are_counted_by_task_and_place(runs):
    """`SOLVER_COMPLETES`: it fails at stack_block first and fourth, at a rotation second, at a push fourth."""
    ax = plots.first_failures(runs[0])
    names = [label.get_text() for label in ax.get_yticklabels()]
    # Ties keep the tasks' own order, so that the figure is the same in every process.
    assert names == [
        "stack block",
        *(task.replace("_", " ") for task in TASKS if task in ("rotate_red_block_left", "push_into_drawer")),
    ]
    found = {
        (names[round(text.get_position()[1])], round(text.get_position()[0]) + 1): text.get_text() for text in ax.texts
    }
    assert found == {
        ("stack block", 1): "1",
        ("stack block", 4): "1",
        ("rotate red block left", 2): "1",
        ("push into drawer", 4): "1",
    }


def test_a_run_without_a_failure_has_an_empty_map(runs):
    solved = replace(runs[0], records=tuple(r for r in runs[0].records if r.outcome == "solved"))
    assert len(plots.first_failures(solved).texts) == 0
    assert len(plots.first_failures(replace(runs[0], records=())).texts) == 0


# --- what a policy remembers ------------------------------------------------------------------------------------------


def remembering(run, span, reset="subtask", **changes):
    return replace(run, description=replace(run.description, memory=Memory(span=span, reset=reset), **changes))


def test_success_is_shown_by_memory_setting_the_shortest_first(runs):
    solver, idle, _ = runs
    kinds = [("unbounded", "chain"), ("window:16", "subtask"), ("window:8", "subtask"), ("none", "subtask")]
    same = [remembering(solver, span, reset, label="vlm") for span, reset in kinds]
    ax = plots.memory([*same, idle])
    assert [text.get_text() for text in ax.get_xticklabels()] == [
        "none",
        "window:8\nreset: subtask",
        "window:16\nreset: subtask",
        "unbounded\nreset: chain",
    ]
    (bars,) = ax.containers  # idle is there with one setting alone
    assert sorted(bars.lines[0].get_xdata()) == [0, 1, 2, 3]
    assert set(bars.lines[0].get_ydata()) == {solver.completed.mean()}


def test_policies_of_one_setting_do_not_overlap(runs):
    same = [remembering(run, span, label=run.description.policy) for run in runs[:2] for span in ("none", "window:8")]
    ax = plots.memory(same)
    places = [place for bars in ax.containers for place in bars.lines[0].get_xdata()]
    assert len(set(places)) == 4
    assert plots.by_memory([*runs, replace(same[0], records=())]) == {}


def test_runs_of_one_memory_and_other_chunk_rules_are_another_series(runs):
    spans = ["none", "window:1", "window:2", "window:8", "unbounded"]
    same = [remembering(runs[0], span, "subtask", chunk_rule="first") for span in spans]
    ax = plots.memory([*same, remembering(runs[0], "window:8", "subtask", chunk_rule="ensemble")])
    label = runs[0].description.label
    assert ax.get_legend_handles_labels()[1] == [f"{label}, chunk rule first", f"{label}, chunk rule ensemble"]
    ax.get_figure().canvas.draw()
    boxes = [tick.get_window_extent() for tick in ax.get_xticklabels()]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_a_run_without_memory_stands_beside_those_of_its_backbone(runs):
    several = [remembering(runs[1], f"window:{n}", label="paligemma (1.5M, trained here)") for n in (1, 8)]
    none = remembering(runs[1], "none", label="paligemma (1.0M, trained here)")
    other = remembering(runs[1], "none", label="cnn (2.2M, trained here)")
    found = plots.by_memory([none, *several, other])
    assert {label: len(same) for label, same in found.items()} == {"paligemma (1.5M, trained here)": 3}


def test_a_notebook_shows_what_a_line_returns(runs):
    for ax in (plots.survival(runs), plots.forest(compare(runs)), plots.first_failures(runs[0]), plots.latency(runs)):
        picture = imread(io.BytesIO(ax._repr_png_()))
        assert picture.shape[1] == 510
        assert (picture[..., :3].mean(axis=2) < 0.5).any()


def test_what_a_notebook_needs_is_found_in_the_package():
    script = "import calvinbench.harness as h; print(h.plots.forest.__name__, h.compare.__name__, h.load_run.__name__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "forest compare load_run\n"


def test_no_figure_cuts_off_a_long_name(runs):
    long = "a policy with a name that is longer than any column is wide, and by far"
    same = [
        replace(run, description=replace(run.description, label=f"{long}, {number}")) for number, run in enumerate(runs)
    ]
    for ax in (plots.latency(same), plots.forest(compare(same))):
        figure = ax.get_figure()
        figure.canvas.draw()
        assert all(text.get_window_extent().x1 <= figure.bbox.x1 for text in ax.texts)
