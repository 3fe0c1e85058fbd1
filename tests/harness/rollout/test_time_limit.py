"""A policy that hangs costs its own chain, wherever it hangs."""

import signal
import sys
import threading
import time

import pytest

from calvinbench.harness.rollout.time_limit import StepLimit, StepTimeoutError, time_limit
from calvinbench.harness.suite.reading import parse_suite
from calvinbench.harness.suite.settings import RunSettings
from support.fakes import make_hanging_world, make_natively_hanging_world


@pytest.fixture(autouse=True)
def _no_alarm_of_others():
    """pytest-timeout has one."""
    others, handler = signal.setitimer(signal.ITIMER_REAL, 0), signal.getsignal(signal.SIGALRM)
    yield
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, *others)


def test_what_is_done_in_time_is_left_alone():
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(5.0):
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 5.0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == before


def test_the_alarm_of_somebody_else_goes_on():
    rings = []
    signal.signal(signal.SIGALRM, lambda *_: rings.append(time.monotonic()))
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    began = time.monotonic()
    with time_limit(5.0):
        time.sleep(0.1)
    assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 0.21
    time.sleep(1.0)
    assert len(rings) == 1
    assert rings[0] - began >= 0.29


@pytest.mark.parametrize("wait", [time.sleep, lambda seconds: _spin(seconds)])
def test_what_waits_or_turns_in_circles_is_stopped(wait):
    words = r"within 0\.1 s, and it did not\. Raise the limit with --step-timeout"
    with pytest.raises(StepTimeoutError, match=words), time_limit(0.1):
        wait(20)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_limit_whose_error_python_dropped_raises_again():
    class Slow:
        def __del__(self):
            _spin(1.2)  # the first alarm rings here, where Python drops what is raised

    def wait_after_del(thing):
        del thing
        time.sleep(20)

    dropped = []
    before, sys.unraisablehook = sys.unraisablehook, dropped.append
    try:
        with pytest.raises(StepTimeoutError), time_limit(1.0):
            wait_after_del(Slow())
    finally:
        sys.unraisablehook = before
    assert [each.exc_type for each in dropped] == [StepTimeoutError]


@pytest.mark.parametrize("seconds", [1e10, 1e99])
def test_a_limit_above_the_longest_alarm_is_as_none(seconds):
    with time_limit(seconds):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 9e8


def _spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_without_a_limit_and_in_threads_nothing_is_set():
    with time_limit(0.0):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    seen = []

    def look():
        with time_limit(5.0):
            seen.append(signal.getitimer(signal.ITIMER_REAL))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [(0.0, 0.0)]


@pytest.mark.parametrize("settings", [{"worlds": 1}, {"worlds": 2}, {"worlds": 2, "batch_size": 2}])
def test_a_policy_that_hangs_costs_its_own_chains_alone(run_fake, settings):
    policy = "crowded-hangs" if "batch_size" in settings else "hangs"
    run = run_fake(policy, step_timeout=0.3, **settings)
    errored = [record.chain for record in run.records if record.outcome == "errored"]
    assert errored == [3, 5]
    assert "StepTimeoutError: expected the policy to answer within 0.3 s" in run.records[3].error
    assert [run.completed[chain] for chain in (0, 1, 2, 4)] == [5, 1, 3, 5]


@pytest.mark.slow
def test_native_code_that_hangs_in_a_worker_ends_with_it(run_fake):
    run = run_fake("hangs-native", worlds=2, chains=4, step_timeout=0.3)
    assert [record.chain for record in run.records if record.outcome == "errored"] == [3]
    assert "WorkerDiedError" in run.records[3].error


@pytest.mark.parametrize("settings", [{"worlds": 1}, {"worlds": 2}, {"worlds": 2, "batch_size": 2}])
def test_a_world_that_hangs_costs_its_own_chains_alone(run_fake, settings):
    policy = "crowded" if "batch_size" in settings else "solver"
    run = run_fake(policy, chains=4, step_timeout=0.3, make_world=make_hanging_world, **settings)
    assert [record.chain for record in run.records if record.outcome == "errored"] == [1, 2, 3]
    assert "StepTimeoutError: expected the world to answer within 0.3 s" in run.records[3].error
    assert run.completed[0] == 5


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"worlds": 2}, {"worlds": 1, "batch_size": 2}])
def test_a_world_that_hangs_in_native_code_ends_with_its_process(run_fake, settings):
    policy, word = ("crowded", "WorldDiedError") if "batch_size" in settings else ("solver", "WorkerDiedError")
    run = run_fake(policy, chains=2, step_timeout=0.3, make_world=make_natively_hanging_world, **settings)
    assert run.completed[0] == 5
    assert word in run.records[1].error


def test_a_reset_has_longer_than_a_step_and_no_limit_where_there_is_none():
    with StepLimit(5.0).of_reset():
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 500
    with StepLimit(5.0).of_world():
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 5
    with StepLimit(0.0).of_reset():
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_limit_is_a_number_of_seconds():
    assert parse_suite("one", "policy: random\nstep_timeout: 5", "one").runs[0].step_timeout == 5.0
    for value in ("-1", "soon", ".inf"):
        with pytest.raises(ValueError, match="step_timeout to be a number of at least 0"):
            parse_suite("one", f"policy: random\nstep_timeout: {value}", "one")
    with pytest.raises(ValueError, match="step_timeout"):
        RunSettings(policy="random", step_timeout=float("nan"))


def test_over_many_steps_the_watchdog_is_set_once_and_stopped_at_the_end(monkeypatch):
    said = []
    monkeypatch.setattr("faulthandler.dump_traceback_later", lambda seconds, **_: said.append(seconds))
    monkeypatch.setattr("faulthandler.cancel_dump_traceback_later", lambda: said.append("stopped"))
    with StepLimit().over_steps():
        for seconds in (5.0, 5.0, 5.0, 7.0, 7.0):
            with time_limit(seconds, ends_process=True):
                pass
    assert said == [15.0, 17.0, "stopped"]


def test_over_many_steps_the_watchdog_is_set_anew_before_it_ends_what_is_in_time(monkeypatch):
    said, now = [], [0.0]
    monkeypatch.setattr("faulthandler.dump_traceback_later", lambda seconds, **_: said.append(now[0] + seconds))
    monkeypatch.setattr("calvinbench.harness.clock.seconds", lambda: now[0])
    with StepLimit().over_steps():
        for _ in range(100):
            with time_limit(5.0, ends_process=True):
                assert said[-1] > now[0] + 5.0
            now[0] += 1.0
    assert len(said) == 20
