"""Commands that the tests' server starts behave as commands that the system starts."""

import os
import signal
import subprocess
import sys
import time

import pytest

from support import command_server
from support.command_server import SCRIPT, Command, call
from support.processes import is_alive

STATE = """
import json, os, signal, sys
from calvinbench.policies.baselines.random import RandomPolicy

class Telling(RandomPolicy):
    def __init__(self):
        super().__init__()
        told = {
            "folder": os.getcwd(), "variable": os.environ.get("MINE"), "threads": os.environ.get("OMP_NUM_THREADS"),
            "argv": sys.argv[1:], "main": sys.modules["__main__"].__file__, "is_leader": os.getsid(0) == os.getpid(),
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())), "path": sys.path[0],
        }
        with open(os.environ["TOLD"], "w") as file:
            json.dump(told, file)
"""
WORDS = ("run", "--policy", "python:telling:Telling", "--chains", "1", "--max-steps", "1", "--out")


def test_policies_find_the_same_surroundings(tmp_path):
    (tmp_path / "telling.py").write_text(STATE)
    told = []
    for name, run in (("ours", call), ("system", by_system)):
        environment = os.environ | {"MINE": "é", "TOLD": str(tmp_path / name), "OMP_NUM_THREADS": "1"}
        done = run((*WORDS, "runs"), cwd=tmp_path, env=environment | {"PYTHONPATH": str(tmp_path)})
        assert done.returncode == 0, done.stderr
        told.append((tmp_path / name).read_text())
        (tmp_path / "runs").rename(tmp_path / f"runs-{name}")
    assert told[0] == told[1]


def by_system(words, **settings):
    return subprocess.run([SCRIPT, *words], capture_output=True, text=True, check=False, **settings)


@pytest.mark.parametrize("words", [("rnu",), ("list", "scenes"), ("--version",)])
def test_words_and_status_are_those_of_the_systems_command(words):
    ours, system = call(words), by_system(words)
    assert (ours.returncode, ours.stdout, ours.stderr) == (system.returncode, system.stdout, system.stderr)


def test_a_command_can_be_watched_and_killed(tmp_path):
    words = ("run", "--policy", "random", "--chains", "50", "--out", str(tmp_path))
    with Command(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as command:
        assert command.poll() is None
        assert is_alive(command.pid)
        assert os.getsid(command.pid) == command.pid
        command.kill()
        command.communicate()
    assert command.returncode == -signal.SIGKILL


def test_the_server_ends_with_the_process_that_started_it():
    code = "from support import command_server, processes; import os; command_server.address()"
    code += "; print(*processes.processes_below(os.getpid()))"
    paths = {"PYTHONPATH": str(command_server._TESTS)}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, env=os.environ | paths
    )
    server, workers = map(int, done.stdout.split())
    deadline = time.monotonic() + 20
    while (is_alive(server) or is_alive(workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(server)
    assert not is_alive(workers)
