"""How policies move, on what they solved and on what two of them solved, from records alone."""

from dataclasses import replace

import numpy as np
import pytest

from calvinbench.harness.analysis.comparison import compare
from calvinbench.harness.analysis.smoothness import (
    mean_difference,
    run_differences,
    smoothness_in_words,
    smoothness_table,
    solved_mean,
)
from calvinbench.harness.analysis.speed import speed_in_words, speed_table
from calvinbench.harness.records.records import ChainRecord, SubtaskRecord


def subtask(outcome="solved", steps=10, change=0.1, turns=1):
    return SubtaskRecord("open_drawer", "open", outcome, steps, 1.0, 1.0, 2.0, change, {"1": steps}, turns)


@pytest.fixture
def run_of(run_fake):
    model = run_fake("idle")

    def make(chains):
        records = tuple(
            ChainRecord(number, {}, tuple(done), sum(each.outcome == "solved" for each in done), "timed_out")
            for number, done in chains.items()
        )
        return replace(model, records=records)

    return make


def difference(first, second, measure="action_change"):
    return mean_difference(first, second, measure, np.random.default_rng(0))


def test_means_are_of_solved_subtasks_alone(run_of):
    run = run_of(
        {0: [subtask(steps=10, change=0.2, turns=2), subtask("timed_out", 360, 0.9, 50)], 1: [subtask(steps=30)]}
    )
    assert solved_mean(run, "steps") == 20.0
    assert solved_mean(run, "action_change") == pytest.approx(0.15)
    assert solved_mean(run, "gripper_changes") == 1.5
    assert np.isnan(solved_mean(run_of({0: [subtask("timed_out")]}), "steps"))


def test_two_runs_are_compared_on_what_both_solved_at_the_same_place(run_of):
    first = run_of({0: [subtask(change=0.3), subtask(change=0.5)], 1: [subtask(change=9.0)]})
    second = run_of({0: [subtask(change=0.1), subtask(change=0.2)], 1: [subtask("timed_out", change=0.0)]})
    found = difference(first, second)
    assert (found.first, found.second, found.num_subtasks) == (pytest.approx(0.4), pytest.approx(0.15), 2)
    assert found.difference == pytest.approx(0.25)
    assert np.isnan(found.interval.low)  # one chain tells nothing of others
    assert difference(first, run_of({7: [subtask()]})) is None


def test_the_interval_is_over_chains_whose_subtasks_are_drawn_together(run_of):
    generator = np.random.default_rng(3)
    shifts = generator.normal(0.1, 0.05, 60)
    first = run_of({chain: [subtask(change=0.5 + shift)] * 5 for chain, shift in enumerate(shifts)})
    second = run_of({chain: [subtask(change=0.5)] * 5 for chain in range(60)})
    found = difference(first, second)
    half = (found.interval.high - found.interval.low) / 2
    assert half == pytest.approx(1.96 * shifts.std() / np.sqrt(60), rel=0.1)
    assert found.interval.low < found.difference < found.interval.high


def test_records_of_before_the_gripper_was_counted_are_read_and_left_out(run_of):
    old = subtask(turns=None)
    written = {name: getattr(old, name) for name in SubtaskRecord.__slots__ if name != "gripper_changes"}
    assert SubtaskRecord.from_json(written) == old
    run = run_of({0: [old]})
    assert np.isnan(solved_mean(run, "gripper_changes"))
    assert difference(run, run, "gripper_changes") is None
    assert list(smoothness_table(run_differences([run, replace(run)]))["measure"]) == ["action_change", "steps"]


def test_tables_show_them(run_of):
    run = run_of({0: [subtask(steps=10, change=0.2, turns=2)]})
    (row,) = speed_table([run]).to_dict("records")
    assert (row["solved_steps"], row["solved_gripper_changes"]) == (10.0, 2.0)
    (row,) = speed_in_words([run]).to_dict("records")
    assert (row["Steps to success"], row["Change of action per step"]) == ("10", "0.200")
    assert row["Gripper changes"] == "2.00"
    (row,) = speed_in_words([run_of({0: [subtask("timed_out")]})]).to_dict("records")
    assert row["Gripper changes"] == "-"
    assert smoothness_table(run_differences([run])).empty
    table = smoothness_table(run_differences([run, run_of({0: [subtask(steps=14, change=0.1, turns=2)]})]))
    assert list(table["difference"]) == [pytest.approx(0.1), 0.0, -4.0]


def test_in_words_each_run_stands_against_the_reference(run_of):
    slow = {chain: [subtask(steps=20 + chain, change=0.25, turns=2)] for chain in range(6)}
    quick = {chain: [subtask(steps=10 + chain, change=0.125, turns=2)] for chain in range(6)}
    first, second = (
        replace(run_of(chains), directory=run_of({}).directory / name) for chains, name in ((slow, "a"), (quick, "b"))
    )
    (row,) = smoothness_in_words(compare([first, second], reference="b")).to_dict("records")
    assert row["both solved"] == "6"
    assert row["Steps to success"] == "22.5 - 12.5 = +10.0 [+10.0, +10.0]"
    assert row["Change of action per step"] == "0.2500 - 0.1250 = +0.1250 [+0.1250, +0.1250]"
    (row,) = smoothness_in_words(compare([first, second], reference="a")).to_dict("records")
    assert row["Steps to success"].startswith("12.5 - 22.5 = -10.0")


def test_in_words_few_chains_give_no_interval_and_none_in_common_no_row(run_of):
    run = run_of({0: [subtask(turns=None)], 1: [subtask("timed_out")]})
    (row,) = smoothness_in_words(compare([run, replace(run, directory=run.directory / "b")])).to_dict("records")
    assert (row["Steps to success"], row["Gripper changes"]) == ("10.0 - 10.0 = +0.0", "-")
    other = replace(run_of({0: [subtask("timed_out")], 1: [subtask()]}), directory=run.directory / "b")
    assert smoothness_in_words(compare([run, other])).empty
