import io
import logging
import re
from dataclasses import replace

import pytest
from rich.console import Console

from calvinbench.harness import clock
from calvinbench.harness.progress.progress import LiveProgress, PlannedRun, planned_runs
from calvinbench.harness.progress.running_count import RunningCount
from calvinbench.harness.suite.suite import Suite


def test_the_running_rates_can_be_counted_by_hand(run_fake):
    records = run_fake().records
    count = RunningCount(6, records[:2])
    count.add(records[2])
    assert count.num_finished == 3
    assert str(count).startswith("100 67 67 33 33 % at 1-5, average 3.00, ")


def test_speed_is_that_of_this_session(run_fake, monkeypatch):
    records = run_fake().records
    monkeypatch.setattr(clock, "seconds", lambda: 100.0)
    count = RunningCount(6, records[:3])
    monkeypatch.setattr(clock, "seconds", lambda: 136.0)
    for record in records[3:5]:
        count.add(record)
    assert count.chains_per_hour == 200.0


def test_errors_are_counted_in_sight(run_fake):
    records = run_fake("raises").records
    assert ", 3 errored" in str(RunningCount(6, records))


def test_without_a_terminal_there_are_a_few_log_lines(run_fake, caplog):
    caplog.set_level(logging.INFO)
    output = io.StringIO()
    with LiveProgress(Console(file=output)) as progress:
        run_fake(subscribers=[progress])
    lines = [record.getMessage() for record in caplog.records if "chains" in record.getMessage()]
    assert lines[0] == "solver: 6 chains"
    assert lines[-1].startswith("solver: 6/6 chains, 83 67 67 33 33 % at 1-5, average 2.83")
    assert output.getvalue().strip() == ""


WIDE, NARROW = 100, 80


@pytest.fixture
def at(monkeypatch):
    """Sets the clock: `at(40.0)`."""

    def set_to(seconds):
        monkeypatch.setattr(clock, "seconds", lambda: seconds)

    set_to(0.0)
    return set_to


def test_chains_that_end_far_apart_tell_the_time_left(run_fake, at):
    records = run_fake().records
    count = RunningCount(6, records[:2])
    assert count.seconds_left is None
    for number, end in ((2, 40.0), (3, 80.0)):
        at(end)
        count.add(records[number])
    assert count.seconds_left == 80.0
    assert str(count).endswith("90 chains/h, about 0:01:20 left")
    at(90.0)
    assert count.seconds_left == 70.0
    at(1000.0)
    assert count.seconds_left == 0.0


def test_slow_policies_have_a_speed_too(run_fake, at):
    count = RunningCount(1000, ())
    at(7200.0)
    count.add(run_fake().records[0])
    assert str(count).endswith("0.5 chains/h, about 83.2 days left")


def last_table(console):
    """The table as it stands at last, without what moves the cursor."""
    lines = re.sub(r"\x1b\[[0-9?;]*[A-Za-z]", "", console.file.getvalue()).replace("\r", "").splitlines()
    last = max(place for place, line in enumerate(lines) if line.startswith("Policy"))
    return [line.rstrip() for line in lines[last:] if line.strip()]


def terminal(width=NARROW, height=30):
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height)


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_a_terminal_of_usual_width_cuts_no_number(run_fake, at, width):
    run = run_fake()
    label = "[/ours] minilm-effnet (35.9M, pretrained VLM, trained here), blind, deaf, seed 3"
    console = terminal(width)
    with LiveProgress(console) as progress:
        progress.run_began(replace(run.description, label=label, chains=1000), run.records * 150)
        for hour in range(1, 5):
            at(3600.0 * hour)
            progress.chain_finished(replace(run.records[0], outcome="errored"))
    heading, row = last_table(console)
    assert heading.split() == ["Policy", "Chains", "1", "2", "3", "4", "5", "Avg.", "Err.", "Ch./h", "Left"]
    assert row.split()[-10:] == ["904/1000", "83", "67", "67", "34", "34", "2.84", "4", "1.0", "~96:00:00"]
    assert row.startswith("[/ours] mi")
    assert "seed 3" in row
    assert max(len(heading), len(row)) <= width


PLANNED = tuple(PlannedRun(f"checkpoint:folder/number-{number}", "", 6) for number in range(3))


def test_runs_that_have_not_begun_and_the_whole_suite_are_in_the_table(run_fake, at):
    run = run_fake()
    console = terminal()
    with LiveProgress(console, PLANNED) as progress:
        progress.run_began(run.description, ())
        for number, record in enumerate(run.records, start=1):
            at(10.0 * number)
            progress.chain_finished(record)
        progress.run_ended()
        progress.run_began(replace(run.description, label="second"), run.records[:2])
        at(100.0)
        progress.chain_finished(run.records[2])
    _, first, second, third, total = last_table(console)
    assert first.split() == ["solver", "6/6", "83", "67", "67", "33", "33", "2.83", "360", "done"]
    assert second.split() == ["second", "3/6", "100", "67", "67", "33", "33", "3.00", "90", "~0:02:00"]
    assert third.split() == ["checkpoint:…der/number-2", "0/6"]
    # 7 chains of this session in 100 s: the third run's 6 take 86 s, and the second's 3 at its own 40 s take 120.
    assert total.split() == ["1", "of", "3", "runs", "9/18", "252", "~0:03:26"]


def test_more_runs_than_lines_leave_the_current_one_and_the_total_in_sight(run_fake):
    planned = tuple(PlannedRun(f"number-{number}", "", 6) for number in range(40))
    run = run_fake()
    progress = LiveProgress(terminal(height=12), planned)
    for _ in range(20):
        progress.run_began(run.description, run.records)
        progress.run_ended()
    progress.run_began(replace(run.description, label="current"), ())
    console = Console(file=io.StringIO(), width=NARROW, height=12)
    console.print(progress._table())
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= 12
    assert any(line.startswith("current") for line in lines)
    assert lines[-2].startswith("(32 more)")
    assert lines[-1].startswith("20 of 40 runs")


def test_the_plan_of_a_suite_has_all_its_runs_and_a_shard_s_chains_alone():
    suite = Suite.of(policy=("random", "expert"), seed=(0, 7), chains=5, shard="2/2")
    assert [(run.name(run.policy), run.num_chains) for run in planned_runs(suite)] == [
        ("seed 0: random", 2),
        ("seed 7: random", 2),
        ("seed 0: expert", 2),
        ("seed 7: expert", 2),
    ]


def test_a_log_tells_which_run_it_is_and_the_time_of_all(run_fake, at, caplog):
    caplog.set_level(logging.INFO)
    run = run_fake()
    with LiveProgress(Console(file=io.StringIO()), PLANNED) as progress:
        progress.run_began(run.description, ())
        at(60.0)
        progress.chain_finished(run.records[0])
    assert caplog.messages[-2] == "run 1 of 3, solver: 6 chains"
    assert caplog.messages[-1].endswith("60 chains/h, about 0:05:00 left, all runs about 0:17:00")


def test_a_resumed_run_says_so(run_fake, caplog):
    caplog.set_level(logging.INFO)
    run_fake()
    with LiveProgress(Console(file=io.StringIO())) as progress:
        run_fake(subscribers=[progress])
    assert "solver: all 6 chains are there already" in caplog.messages
