"""Speed and smoothness, from records alone."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from calvinbench.harness.analysis.speed import FRAME_MS, quantile, speed, speed_table
from calvinbench.harness.records.records import ChainRecord, SubtaskRecord
from calvinbench.harness.report import plots
from calvinbench.harness.rollout.diary import _two_digits


def subtask(counts, world_ms=2.0, change=0.5, seconds=1.0):
    steps = sum(counts.values()) if counts else 10
    return SubtaskRecord("open_drawer", "open", "solved", steps, seconds, 1.0, world_ms, change, counts)


@pytest.fixture
def run_of(run_fake):
    model = run_fake("idle")

    def make(*subtasks):
        record = ChainRecord(0, {}, tuple(subtasks), len(subtasks), "timed_out")
        return replace(model, records=(record,))

    return make


def test_quantiles_are_those_of_all_steps_together(run_of):
    found = speed(run_of(subtask({"1": 90, "40": 5}), subtask({"2": 100, "50": 5})))
    assert found.num_steps == 200
    assert (found.policy_ms, found.policy_ms_p95) == (2.0, 2.0)
    assert quantile(Counter({1.0: 1, 2.0: 2, 10.0: 1}), 0.75) == 2.0
    assert quantile(Counter({1.0: 1, 2.0: 2, 10.0: 1}), 0.76) == 10.0
    assert np.isnan(quantile(Counter(), 0.5))


def test_means_are_over_steps_not_over_subtasks(run_of):
    found = speed(run_of(subtask({"1": 300}, 2.0, 0.1, 9.0), subtask({"1": 100}, 6.0, 0.5, 1.0)))
    assert found.world_ms == pytest.approx(3.0)
    assert found.action_change == pytest.approx(0.2)
    assert found.chains_per_hour == pytest.approx(360.0)


def test_records_of_before_tell_no_quantiles_and_are_read(run_of):
    old = subtask(None)
    found = speed(run_of(old))
    assert np.isnan(found.policy_ms)
    assert found.world_ms == 2.0
    written = {name: getattr(old, name) for name in SubtaskRecord.__slots__ if name != "policy_ms_counts"}
    assert SubtaskRecord.from_json(written) == old
    with pytest.raises(ValueError, match="field 'steps': expected a value, got nothing"):
        SubtaskRecord.from_json({name: value for name, value in written.items() if name != "steps"})


@pytest.mark.parametrize(
    ("number", "text"), [(12.34, "12"), (0.1234, "0.12"), (1234.0, "1200"), (9.96, "10"), (0.0, "0")]
)
def test_two_digits_count(number, text):
    assert _two_digits(number) == text


def test_a_run_keeps_how_long_each_step_took(run_fake):
    run = run_fake("solver")
    for record in run.records:
        for done in record.subtasks:
            assert sum(done.policy_ms_counts.values()) == done.steps
            middle = sum(float(ms) * count for ms, count in done.policy_ms_counts.items()) / done.steps
            assert middle == pytest.approx(done.policy_ms, rel=0.06, abs=1e-4)
    (row,) = speed_table([run]).to_dict("records")
    assert row["num_steps"] == sum(done.steps for record in run.records for done in record.subtasks)
    assert row["Method"] == "solver \u2020"


def test_the_figure_shows_median_and_95th_percentile_beside_30_hertz(run_of):
    ax = plots.latency([run_of(subtask({"2": 90, "9": 10}))])
    line, mark, limit = ax.get_lines()
    assert line.get_xdata().tolist() == [2.0, 9.0]
    assert mark.get_xdata().tolist() == [2.0]
    assert limit.get_xdata()[0] == pytest.approx(FRAME_MS)
    assert len(plots.latency([run_of(subtask(None))]).get_lines()) == 1


def test_success_stands_against_time(run_of):
    run = run_of(subtask({"2": 90, "9": 10}))
    (container,) = plots.tradeoff([run]).containers
    assert container.lines[0].get_xydata().tolist() == [[2.0, 1.0]]
    assert plots.tradeoff([run_of(subtask(None))]).containers == []
