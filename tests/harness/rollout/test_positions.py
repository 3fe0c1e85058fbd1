import io
import logging
import threading
import time
from dataclasses import replace

import pytest
from rich.console import Console

from calvinbench.harness import clock
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.progress.progress import QUIET_SECONDS, LiveProgress, PlannedRun
from calvinbench.harness.progress.running_count import RunningCount
from calvinbench.harness.rollout.jobs import make_job
from calvinbench.harness.rollout.positions import Positions, listed
from support.fakes import CHAINS


@pytest.fixture
def at(monkeypatch):
    def set_to(seconds):
        monkeypatch.setattr(clock, "seconds", lambda: seconds)

    set_to(0.0)
    return set_to


def test_positions_are_those_of_the_chains_under_way_the_oldest_first(at):
    positions = Positions(3)
    assert positions.under_way() == ()
    at(10.0)
    positions.begin(2, make_job(7, CHAINS[0], 0))
    at(40.0)
    positions.begin(0, make_job(8, CHAINS[1], 0))
    positions.move(2, 3, 143)
    at(70.0)
    assert listed(positions.under_way(), 4) == [
        "chain 7: subtask 3 of 5, step 143, 0:01:00",
        "chain 8: world being reset, 0:00:30",
    ]
    positions.end(2)
    assert [each.chain for each in positions.under_way()] == [8]


def test_of_many_chains_some_are_listed():
    positions = Positions(8)
    for place in range(8):
        positions.begin(place, make_job(place, CHAINS[0], 0))
    lines = listed(positions.under_way(), 4)
    assert len(lines) == 4
    assert lines[-1] == "and 5 more chains"


class Watch:
    """Looks at positions in a thread while chains run."""

    def __init__(self):
        self.seen, self._ended = set(), threading.Event()

    def positions_known(self, positions):
        self.num_worlds, self.positions = positions.num_worlds, positions

    def run_began(self, description, finished):
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self):
        while not self._ended.wait(0.001):
            self.seen |= {(each.chain, each.subtask, each.step) for each in self.positions.under_way()}

    def chain_finished(self, record): ...

    def run_ended(self):
        self._ended.set()


@pytest.mark.parametrize(
    ("policy", "settings"),
    [
        ("slow", {"worlds": 1}),
        ("slow", {"worlds": 2}),
        ("crowded-slow", {"worlds": 3, "batch_size": 2}),
    ],
)
def test_while_chains_run_it_is_seen_how_far_they_are(run_fake, policy, settings):
    watch = Watch()
    run_fake(policy, subscribers=[watch], **settings)
    assert watch.num_worlds == settings["worlds"]
    assert {chain for chain, *_ in watch.seen} == set(range(6))
    assert {subtask for chain, subtask, _ in watch.seen if chain == 0} >= {1, 2, 3, 4, 5}
    assert max(step for chain, subtask, step in watch.seen if (chain, subtask) == (3, 1)) >= 8  # it times out at 10
    assert watch.positions.under_way() == ()


def test_a_worker_that_dies_leaves_no_chain_under_way(run_fake):
    watch = Watch()
    run_fake("killer", worlds=2, subscribers=[watch])
    assert watch.positions.under_way() == ()


def test_a_terminal_shows_the_chains_under_way_below_the_table(run_fake, at):
    run = run_fake()
    positions = Positions(2)
    progress = LiveProgress(Console(file=io.StringIO(), force_terminal=True, width=80), [PlannedRun("solver", "", 6)])
    progress.positions_known(positions)
    progress.run_began(run.description, ())
    positions.begin(0, make_job(0, CHAINS[0], 0))
    positions.move(0, 2, 57)
    at(61.0)
    console = Console(file=io.StringIO(), width=80)
    console.print(progress._table())
    assert console.file.getvalue().splitlines()[-1].rstrip() == "  chain 0: subtask 2 of 5, step 57, 0:01:01"
    progress.run_ended()
    console = Console(file=io.StringIO(), width=80)
    console.print(progress._table())
    assert "chain 0" not in console.file.getvalue()


def test_without_a_terminal_a_line_comes_once_a_minute_while_no_chain_has_ended(run_fake, at, caplog):
    caplog.set_level(logging.INFO)
    run = run_fake()
    positions = Positions(1)
    progress = LiveProgress(Console(file=io.StringIO()))
    progress.positions_known(positions)
    progress.run_began(run.description, ())
    caplog.clear()
    at(QUIET_SECONDS - 1)
    progress.log_if_quiet()
    assert caplog.messages == []
    at(QUIET_SECONDS)
    progress.log_if_quiet()
    progress.log_if_quiet()
    assert caplog.messages == ["solver: 0/6 chains after 0:01:00; no step taken yet"]
    positions.begin(0, make_job(0, CHAINS[0], 0))
    positions.move(0, 1, 12)
    at(2 * QUIET_SECONDS)
    progress.log_if_quiet()
    assert caplog.messages[-1] == "solver: 0/6 chains after 0:02:00; chain 0: subtask 1 of 5, step 12, 0:01:00"
    progress.run_ended()
    at(10 * QUIET_SECONDS)
    progress.log_if_quiet()
    assert len(caplog.messages) == 2


def test_a_step_s_note_costs_next_to_nothing():
    positions = Positions(2)
    positions.begin(1, make_job(0, CHAINS[0], 0))
    took = []
    for step in range(2_000):
        began = time.perf_counter()
        positions.move(1, 1, step)
        took.append(time.perf_counter() - began)
    assert sorted(took)[len(took) // 2] < 50e-6  # a step of the fastest world takes milliseconds


def estimates(run, at, num_worlds, durations, warm_up=0.0, first_extra=0.0):
    """The seconds left as estimated after each chain, and as they turned out; chains take what `durations` says."""
    records = run.records
    at(0.0)
    positions = Positions(num_worlds)
    count = RunningCount(len(durations), (), positions)
    begun = {}
    waiting = list(enumerate(durations))
    now = warm_up
    for place in range(num_worlds):
        number, duration = waiting.pop(0)
        at(now)
        positions.begin(place, make_job(number, CHAINS[0], 0))
        begun[place] = (now + duration + first_extra, duration + first_extra)
    told = []
    while begun:
        place = min(begun, key=lambda each: begun[each])
        now, duration = begun.pop(place)
        at(now)
        positions.end(place)
        subtask = records[0].subtasks[0]
        count.add(replace(records[0], subtasks=(replace(subtask, seconds=duration),)))
        told.append((now, count.seconds_left, count.is_rough))
        if waiting:
            number, duration = waiting.pop(0)
            positions.begin(place, make_job(number, CHAINS[0], 0))
            begun[place] = (now + duration, duration)
    return [(left, now - at_time, rough) for at_time, left, rough in told]


@pytest.mark.parametrize("num_worlds", [1, 2, 8])
def test_the_first_estimate_counts_worlds_that_are_nearly_done_and_no_warm_up(run_fake, at, num_worlds):
    run = run_fake()
    told = estimates(run, at, num_worlds, [10.0] * 64, warm_up=30.0)
    first = next(each for each in told if each[0] is not None)
    assert first[0] == pytest.approx(first[1], rel=0.5)
    assert first[2]
    assert not told[-2][2]


def test_a_slow_first_step_is_forgotten_once_each_world_has_ended_two_chains(run_fake, at):
    told = estimates(run_fake(), at, 2, [10.0] * 40, first_extra=60.0)
    left, right, is_rough = told[5]
    assert left == pytest.approx(right, rel=0.2)
    assert not is_rough


def test_uneven_chains_are_estimated_within_a_factor_of_two_from_the_first_word_on(run_fake, at):
    durations = [30.0, 12.0, 55.0, 20.0, 41.0, 9.0, 33.0, 60.0, 18.0, 25.0] * 6
    for num_worlds in (1, 2, 4):
        told = estimates(run_fake(), at, num_worlds, durations)
        for left, right, _ in told[:-num_worlds]:
            assert left is None or right / 2.1 < left < right * 2.1


def test_steps_of_a_run_are_noted_for_one_who_asks_in_python_too(fake_setup, tmp_path):
    watch = Watch()
    evaluate(fake_setup("slow", chains=1), tmp_path, chains=CHAINS, subscribers=[watch])
    assert (0, 1, 1) in watch.seen
