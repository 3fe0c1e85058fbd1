import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from calvinbench.harness.evaluation.stopping import stopped_as_by_ctrl_c
from calvinbench.harness.records.runs import load_run

SLOW = """
import time
import numpy as np
from calvinbench.policies.baselines.random import RandomPolicy

class Slow(RandomPolicy):
    def act(self, observations, *given):
        time.sleep(0.05)
        return super().act(observations, *given)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "flags"),
    [
        (signal.SIGTERM, ["--worlds", "2"]),
        (signal.SIGTERM, ["--worlds", "2", "--batch-size", "2"]),
        (signal.SIGHUP, ["--worlds", "1"]),
        (signal.SIGINT, ["--worlds", "2"]),
    ],
)
def test_a_command_that_is_told_to_end_keeps_what_ended_and_leaves_nothing_behind(tmp_path, number, flags):
    (tmp_path / "slow_policy.py").write_text(SLOW)
    spec = "random" if "--batch-size" in flags else "python:slow_policy:Slow"
    chains, steps = ("900", "3") if spec == "random" else ("40", "4")
    command = [sys.executable, "-m", "calvinbench.harness.cli", "run", "--policy", spec, "--name", "it", *flags]
    if spec == "random":  # which answers one world at a time
        command = [part.replace("random", "untrained:cnn") for part in command]
    command += ["--chains", chains, "--max-steps", steps]
    records = tmp_path / "runs/it/chains.jsonl"
    began = time.monotonic()
    run = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=os.environ | {"HOME": "/tmp"})
    while not (records.exists() and records.stat().st_size):
        assert run.poll() is None, run.stderr.read()
        assert time.monotonic() - began < 180
        time.sleep(0.05)
    children = processes_below(run.pid)
    told = time.monotonic()
    run.send_signal(number)
    said = run.communicate(timeout=30)[1]
    assert time.monotonic() - told < 5
    assert run.returncode == 1
    assert "Stopped. Finished work is kept" in said
    for words in ("leaked", "resource_tracker", "Traceback", "Error"):
        assert words not in said, said
    time.sleep(0.5)
    assert not [pid for pid in children if is_alive(pid)]
    kept = load_run(tmp_path / "runs/it")
    assert len(kept.records) == len(records.read_text().splitlines()) >= 1
    assert all(json.loads(line)["outcome"] == "timed_out" for line in records.read_text().splitlines())
    assert kept.num_missing > 0


def processes_below(pid):
    """Processes that descend from one."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *processes_below(child)]
    return found


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_signal_that_is_ignored_stays_so_and_handlers_come_back():
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stopped_as_by_ctrl_c():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) == signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, old)


def test_sigterm_raises_keyboard_interrupt_in_the_block():
    with pytest.raises(KeyboardInterrupt), stopped_as_by_ctrl_c():
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_stop_that_python_dropped_comes_again():
    class Stopped:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    def wait_after_del(thing):
        del thing
        time.sleep(20)

    before = sys.unraisablehook
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), stopped_as_by_ctrl_c():
        wait_after_del(Stopped())
    assert time.monotonic() - began < 10
    assert sys.unraisablehook is before


def test_other_errors_that_python_drops_go_to_the_hook_of_before(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    class Wrong:
        def __del__(self):
            raise ValueError("wrong in the end")

    with stopped_as_by_ctrl_c():
        thing = Wrong()
        del thing
    assert [each.exc_type for each in told] == [ValueError]


def test_outside_the_main_thread_nothing_is_set():
    seen = []

    def look():
        with stopped_as_by_ctrl_c():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
