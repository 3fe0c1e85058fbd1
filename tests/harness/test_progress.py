import io
import logging
from dataclasses import replace

from rich.console import Console

from calvinbench.harness import clock
from calvinbench.harness.progress import LiveProgress, RunningCount


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
    assert ", 3 errored," in str(RunningCount(6, records))


def test_without_a_terminal_there_are_a_few_log_lines(run_fake, caplog):
    caplog.set_level(logging.INFO)
    output = io.StringIO()
    with LiveProgress(Console(file=output)) as progress:
        run_fake(subscribers=[progress])
    lines = [record.getMessage() for record in caplog.records if "chains" in record.getMessage()]
    assert lines[0] == "solver: 6 chains"
    assert lines[-1].startswith("solver: 6/6 chains, 83 67 67 33 33 % at 1-5, average 2.83")
    assert output.getvalue().strip() == ""


def test_on_a_terminal_there_is_a_bar_with_the_rates(run_fake):
    output = io.StringIO()
    with LiveProgress(Console(file=output, force_terminal=True, width=140)) as progress:
        run_fake(subscribers=[progress])
    assert "6/6" in output.getvalue()
    assert "83 67 67 33 33 % at 1-5" in output.getvalue()


def test_a_narrow_terminal_cuts_the_rates_and_labels_are_no_markup(run_fake):
    output = io.StringIO()
    run = run_fake(chains=2)
    console = Console(file=output, force_terminal=True, color_system=None, width=70)
    with LiveProgress(console) as progress:
        progress.run_began(replace(run.description, label="[/ours] kosmos2 (1.7M, untrained)"), ())
        progress.chain_finished(run.records[0])
    last = [line.removeprefix("\x1b[2K") for line in output.getvalue().splitlines() if "1/2" in line][-1]
    assert "[/ours] kosmos2 (1.7M, untrained)" in last
    assert len(last) <= 70


def test_a_resumed_run_says_so(run_fake, caplog):
    caplog.set_level(logging.INFO)
    run_fake()
    with LiveProgress(Console(file=io.StringIO())) as progress:
        run_fake(subscribers=[progress])
    assert "solver: all 6 chains are there already" in caplog.messages
