"""The numbers that figures draw are those that are computed, and come from the right runs."""

from dataclasses import replace

import numpy as np
import pytest

from calvinbench.envs.chain_env import SOLVED
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.tasks import TASKS
from calvinbench.harness.analysis.comparison import compare
from calvinbench.harness.analysis.methods import Method
from calvinbench.harness.analysis.statistics import (
    average_length,
    bootstrap_generator,
    conditional_success,
    survival_curve,
    task_success,
)
from calvinbench.harness.analysis.training_seeds import mean_over_seeds
from calvinbench.harness.report import plots
from calvinbench.harness.report.plots.estimates import conditional_of, tasks_of
from calvinbench.harness.report.plots.task_kinds import KINDS, by_kind, kind_of_task, short_task
from calvinbench.policies.policy import Memory


@pytest.fixture(scope="module")
def seeds(make_run):
    """One method with three training seeds."""
    runs = [
        make_run(0.6, seed=seed, training_seed=seed, training_recipe="recipe", label="policy (1.5M, trained here)")
        for seed in range(3)
    ]
    return Method("policy", tuple(runs), {})


def test_survival_shows_rates_and_the_simultaneous_band(make_methods):
    methods = make_methods(3)
    axes = plots.survival(methods)
    for line, band, method in zip(axes.get_lines(), axes.collections, methods, strict=True):
        curve = survival_curve(method.runs[0].completed, bootstrap_generator())
        assert np.allclose(line.get_ydata(), 100 * curve.rates)
        heights = band.get_paths()[0].vertices[:, 1]
        assert np.isclose(heights.max(), 100 * curve.high.max())
        assert np.isclose(heights.min(), 100 * curve.low.min())


def test_bars_of_five_curves_stand_close_to_their_position(make_methods):
    methods = make_methods(5)
    axes = plots.survival(methods)
    places = [line.get_xdata()[0] for line in axes.get_lines()]
    assert len(set(places)) == 5
    assert max(abs(place - 1) for place in places) < 0.2
    for bars, method in zip(axes.collections, methods, strict=True):
        curve = survival_curve(method.runs[0].completed, bootstrap_generator())
        ends = np.array(bars.get_segments())[:, :, 1]
        assert np.allclose(ends, 100 * np.stack([curve.low, curve.high], axis=1))


def test_seven_methods_have_a_panel_each_with_the_average_length(make_methods):
    methods = make_methods(7)
    panels = plots.survival(methods)
    assert panels.shape == (7,)
    for panel, method in zip(panels, methods, strict=True):
        own = panel.get_lines()[-1]
        rates = survival_curve(method.runs[0].completed, bootstrap_generator()).rates
        assert np.allclose(own.get_ydata(), 100 * rates)
        assert [text.get_text() for text in panel.texts] == [f"{method.runs[0].completed.mean():.2f}"]
        assert len(panel.get_lines()) == 7  # the others in grey


def test_seeds_of_one_recipe_are_one_curve_with_an_interval_over_seeds(seeds):
    axes = plots.survival(list(seeds.runs))
    (line,), (band,) = axes.get_lines(), axes.collections
    means = mean_over_seeds(seeds.runs, "policy").success
    assert np.allclose(line.get_ydata(), [100 * mean.value for mean in means])
    heights = band.get_paths()[0].vertices[:, 1]
    assert np.isclose(heights.max(), 100 * max(mean.interval.high for mean in means))
    assert len(plots.survival(list(seeds.runs), seeds="each").get_lines()) == 3


def test_conditional_success_is_solved_over_reached(make_methods):
    (method,) = make_methods(1)
    line = plots.conditional([method]).get_lines()[0]
    expected = conditional_success(method.runs[0].completed)
    assert np.allclose(line.get_ydata(), [100 * each.rate for each in expected])
    assert [share.interval for share in conditional_of(method)] == [each.interval for each in expected]


def test_a_position_that_no_chain_reached_has_no_mark(make_run):
    method = Method("never", (make_run(0.0),), {})
    values = plots.conditional([method]).get_lines()[0].get_ydata()
    assert values[0] == 0
    assert np.isnan(values[1:]).all()


def test_the_interval_of_pooled_seeds_holds_those_of_no_single_seed_alone(seeds):
    """Three seeds of 60 chains: the pooled rate is exact; the interval is wider than that of 180 independent chains."""
    (first, *_) = conditional_of(seeds)
    completed = np.concatenate([run.completed for run in seeds.runs])
    assert first.num_trials == 180
    assert first.num_successes == (completed >= 1).sum()
    assert first.interval.low < first.rate < first.interval.high
    independent = conditional_success(completed)[0].interval
    assert first.interval.high - first.interval.low > 0.8 * (independent.high - independent.low)


def cells(axes):
    """The numbers of a heat map by row and column."""
    rows = {round(at): label.get_text() for at, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)}
    columns = [label.get_text().replace("-\n", "-").replace("\n", " ") for label in axes.get_xticklabels()]
    headings = {
        round(at)
        for at, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
        if label.get_fontweight() == "bold"
    }
    heading, found = "", {}
    for row in sorted(rows):
        if row in headings:
            heading = rows[row]
            continue
        for text in axes.texts:
            x, y = text.get_position()
            if text.get_ha() == "center" and round(y) == row:
                found[heading, rows[row], columns[round(x)]] = text.get_text()
    return found


def test_the_heat_map_of_tasks_shows_percent_solved(make_methods):
    methods = make_methods(3)
    found = cells(plots.tasks(methods, width=7.0))
    assert len(found) == 3 * len({task for method in methods for task in task_success(method.runs[0].records)})
    for method in methods:
        for task, share in task_success(method.runs[0].records).items():
            assert found[kind_of_task(task), short_task(task), method.name] == f"{100 * share.rate:.0f}"
        assert {task: (s.num_successes, s.num_trials) for task, s in tasks_of(method).items()} == {
            task: (s.num_successes, s.num_trials) for task, s in task_success(method.runs[0].records).items()
        }


def test_the_heat_map_notes_how_often_each_task_was_reached(make_methods):
    methods = make_methods(2)
    axes = plots.tasks(methods)
    notes = {text.get_text() for text in axes.texts if text.get_ha() == "left"}
    success = [task_success(method.runs[0].records) for method in methods]
    for task in set(success[0]) & set(success[1]):
        low, high = sorted(each[task].num_trials for each in success)
        assert (f"{low}" if low == high else f"{low}\N{EN DASH}{high}") in notes


def test_every_task_has_a_kind_and_a_short_name_of_its_own():
    kinds = by_kind(TASKS)
    assert set(kinds) == set(KINDS[:-1])
    assert sum(len(tasks) for tasks in kinds.values()) == 34
    assert all(len({short_task(task) for task in tasks}) == len(tasks) for tasks in kinds.values())
    assert by_kind(["wave_hand", "open_drawer"]) == {"Slider, drawer": ["open_drawer"], "Other": ["wave_hand"]}


def named(run, name):
    return replace(run, description=replace(run.description, label=name, policy=name))


@pytest.fixture(scope="module")
def compared(make_run):
    """Four methods, of which c is the best."""
    chances = {"a": 0.5, "b": 0.3, "c": 0.9, "d": 0.55}
    return compare([named(make_run(chance, seed=place), name) for place, (name, chance) in enumerate(chances.items())])


def drawn_differences(axes):
    found = {}
    names = [label.get_text() for label in axes.get_yticklabels()]
    for name, container in zip(names, axes.containers, strict=True):
        (low, high) = container.lines[2][0].get_segments()[0][:, 0]
        found[name] = (container.lines[0].get_xdata()[0], low, high)
    return found


def test_the_forest_holds_all_methods_against_the_best_in_one_direction(compared):
    axes = plots.forest(compared)
    found = drawn_differences(axes)
    assert set(found) == {"a", "b", "d"}
    assert axes.get_xlabel() == "average length minus that of c"
    for pair in compared.pairs:
        if "c" in pair.labels:
            sign = 1 if pair.second == "c" else -1
            name = pair.first if sign == 1 else pair.second
            ends = sorted(sign * end for end in (pair.difference.interval.low, pair.difference.interval.high))
            assert found[name] == pytest.approx((sign * pair.difference.value, *ends))
            value = f"{sign * pair.difference.value:+.2f}".replace("-", "\N{MINUS SIGN}")
            assert any(text.get_text().startswith(f"{value} [") for text in axes.texts)
    values = [value for value, _, _ in found.values()]
    assert values == sorted(values, reverse=True)
    assert all(value < 0 for value in values)


def test_the_forest_of_three_shows_each_pair_better_minus_other(compared):
    three = compare([run for run in compared.runs if run.description.label != "d"])
    found = drawn_differences(plots.forest(three))
    assert set(found) == {"c \N{MINUS SIGN} b", "c \N{MINUS SIGN} a", "a \N{MINUS SIGN} b"}
    assert all(value > 0 for value, _, _ in found.values())


def test_against_a_reference_all_rows_are_minus_it(compared):
    against = compare(compared.runs, reference="a")
    axes = plots.forest(against)
    assert axes.get_xlabel() == "average length minus that of a"
    assert set(drawn_differences(axes)) == {"b", "c", "d"}


def test_only_significant_differences_have_filled_marks(compared):
    pair = next(pair for pair in compared.pairs if pair.is_significant and "c" in pair.labels)
    for adjusted, is_filled in ((0.01, True), (0.06, False)):
        changed = replace(compared, pairs=(replace(pair, adjusted_p_value=adjusted),), methods=compared.methods)
        (container,) = plots.forest(changed, order=None).containers[:1]
        mark = container.lines[0]
        assert (mark.get_markerfacecolor() != "white") is is_filled


def test_a_labels_mapping_renames_and_order_chooses(compared):
    axes = plots.forest(compared, labels={"a": "first", "c": "best"}, order=["first"])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first"]
    assert axes.get_xlabel() == "average length minus that of best"


def test_latency_shows_median_95th_percentile_and_30_hertz(make_methods):
    axes = plots.latency(make_methods(1))
    line, mark, limit = axes.get_lines()
    assert line.get_xdata() == pytest.approx([6.9, 21.0])
    assert mark.get_xdata() == pytest.approx([6.9])
    assert limit.get_xdata()[0] == pytest.approx(100 / 3)
    assert "6.9 (21)" in [text.get_text() for text in axes.texts]


def test_success_stands_against_time(make_methods):
    methods = make_methods(2)
    for container, method in zip(plots.tradeoff(methods).containers, methods, strict=True):
        run = method.runs[0]
        mean = average_length(run.completed, bootstrap_generator())
        assert container.lines[0].get_ydata()[0] == mean.value
        (segment,) = container.lines[2][0].get_segments()
        assert segment[:, 1] == pytest.approx([mean.interval.low, mean.interval.high])


def test_first_failures_of_one_method_are_counts_by_task_and_position(make_methods):
    (method,) = make_methods(3)[2:]
    found = cells(plots.first_failures(method))
    expected = {}
    for record in method.runs[0].records:
        if record.outcome != SOLVED:
            task = record.subtasks[-1].task
            key = (kind_of_task(task), short_task(task), str(len(record.subtasks)))
            expected[key] = expected.get(key, 0) + 1
    assert {key: int(text) for key, text in found.items() if text.isdigit()} == expected


def test_first_failures_of_several_methods_are_shares_that_sum_to_all_chains(make_methods):
    methods = make_methods(3)
    found = cells(plots.first_failures(methods, width=7.0))
    for method in methods:
        shares = [
            int(text)
            for (heading, _, column), text in found.items()
            if heading == "Ended at subtask" and column == method.name and text.isdigit()
        ]
        assert sum(shares) == pytest.approx(100, abs=3)


def test_memory_joins_methods_that_differ_in_it_alone(make_run):
    spans = ("unbounded", "window:16", "none", "window:8")
    kept = [
        named(make_run(0.5, seed=place, memory=Memory(span=span, reset="subtask")), "vlm")
        for place, span in enumerate(spans)
    ]
    other = named(make_run(0.5, seed=9, memory=Memory(span="window:8", reset="subtask")), "alone")
    axes = plots.memory([*kept, other])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["none", "8", "16", "unbounded"]
    (line,) = [line for line in axes.get_lines() if line.get_label() == "vlm"]
    assert np.allclose(line.get_ydata(), [kept[place].completed.mean() for place in (2, 3, 1, 0)])
    assert plots.by_memory([other]) == {}


def test_labels_colors_and_order(make_methods):
    methods = make_methods(3)
    axes = plots.survival(methods, labels=["x", "y", "z"], order=["z", "x"], colors={"x": "red"})
    lines = axes.get_lines()
    assert [line.get_label() for line in lines] == ["z", "x"]
    assert lines[1].get_color() == "red"
    ranked = plots.latency(methods, order="success").get_yticklabels()
    by_length = sorted(methods, key=lambda method: -method.runs[0].completed.mean())
    assert [label.get_text() for label in ranked] == [method.name for method in by_length]
    with pytest.raises(UnknownNameError):
        plots.survival(methods, order=["nobody"])
    with pytest.raises(ValueError, match="expected 3 labels"):
        plots.survival(methods, labels=["x"])


@pytest.mark.parametrize(
    "draw", [plots.survival, plots.conditional, plots.tasks, plots.latency, plots.tradeoff, plots.memory]
)
def test_figures_of_nothing_are_empty(draw):
    plots.close(draw([]))
