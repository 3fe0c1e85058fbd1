"""Ctrl-C in child processes, and a reader of their tensors that goes away in the middle of a handshake."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import process, resource_sharer
from multiprocessing.connection import SocketClient, answer_challenge, deliver_challenge
from pathlib import Path

import pytest

from calvinbench.envs.system.child_process import FORK_SERVER, SPAWN, excepthook_of_child

NUM_READERS = 21
REPOSITORY = Path(__file__).parents[3]


def _offer_and_wait(connection, is_quiet):
    """In a child: offers a file descriptor as a loader worker offers a tensor, until its readers have left."""
    if not is_quiet:
        sys.excepthook = sys.__excepthook__
    with Path("/dev/null").open() as file:
        offered = resource_sharer.DupFd(file.fileno())
    connection.send(offered._id)
    connection.recv()
    # Only one reader is served at a time, so this one comes after those that left.
    resource_sharer.stop(timeout=10)
    connection.send("done")


def _leave_in_the_middle(address, stage):
    """A reader that goes away before the handshake, in the middle of it, or before it says what it wants."""
    client = SocketClient(address)
    if stage >= 1:
        answer_challenge(client, process.current_process().authkey)
    if stage >= 2:
        deliver_challenge(client, process.current_process().authkey)
    client.close()


@pytest.mark.parametrize("context", [SPAWN, FORK_SERVER])
@pytest.mark.parametrize("is_quiet", [True, False])
def test_a_reader_that_leaves_in_the_middle_of_a_handshake_is_no_traceback(capfd, is_quiet, context):
    ours, theirs = context.Pipe()
    child = context.Process(target=_offer_and_wait, args=(theirs, is_quiet))
    child.start()
    address, _ = ours.recv()
    for number in range(NUM_READERS):
        _leave_in_the_middle(address, number % 3)
    ours.send("they left")
    assert ours.recv() == "done"
    child.join(30)
    assert child.exitcode == 0
    said = capfd.readouterr().err
    assert ("resource_sharer.py" in said) == (not is_quiet), said
    if is_quiet:
        assert said == ""


def test_other_errors_of_a_helper_thread_are_still_printed(capsys):
    for error in (ValueError("odd"), OSError("disk"), KeyError("key")):
        thread = threading.Thread(target=excepthook_of_child, args=(type(error), error, None))
        thread.start()
        thread.join()
        assert type(error).__name__ in capsys.readouterr().err


def test_in_the_main_thread_a_broken_connection_is_printed(capsys):
    excepthook_of_child(ConnectionResetError, ConnectionResetError("peer"), None)
    assert "ConnectionResetError: peer" in capsys.readouterr().err


STARTER = """
import multiprocessing, os, sys, time
from calvinbench.envs.system import child_process

if __name__ == "__main__":
    context = getattr(child_process, sys.argv[1], None) or multiprocessing.get_context("spawn")
    children = [context.Process(target=print, args=("ran",)) for _ in range(2)]
    try:
        for child in children:
            child.start()
        print("started", flush=True)
        time.sleep(30)
    except KeyboardInterrupt:
        for child in children:
            child.join()
        print([child.exitcode for child in children])
else:
    open(f"{os.getpid()}.starting", "w").close()
    time.sleep(2)
"""


@pytest.mark.parametrize(("context", "is_quiet"), [("SPAWN", True), ("FORK_SERVER", True), ("spawn", False)])
def test_ctrl_c_in_the_terminal_while_children_start_prints_nothing(tmp_path, context, is_quiet):
    script = tmp_path / "starter.py"
    script.write_text(STARTER)
    command = [sys.executable, str(script), context]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    program = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes)
    assert program.stdout.readline() == "started\n"
    deadline = time.monotonic() + 30
    while len(list(tmp_path.glob("*.starting"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(program.pid, signal.SIGINT)  # as a terminal does
    output, errors = program.communicate(timeout=30)
    assert ("KeyboardInterrupt" not in errors) == is_quiet, errors
    if is_quiet:
        assert errors == ""
        assert output.count("ran") == 2
        assert output.endswith("[0, 0]\n")


def test_every_child_process_is_one_of_these():
    rooms = [REPOSITORY / room for room in ("envs", "policies", "harness")]
    own_way = re.compile(r"get_context\(|multiprocessing\.(Process|Pool)\b|multiprocessing_context=\"")
    found = [str(file) for room in rooms for file in room.rglob("*.py") if own_way.search(file.read_text("utf-8"))]
    assert not found, "use SPAWN or FORK_SERVER of calvinbench.envs.system.child_process"


def _tell_surroundings(connection):
    os.write(1, b"to standard output\n")
    os.write(2, b"to standard error\n")
    connection.send((os.environ.get("SET_LATER"), str(Path.cwd()), os.getpid()))


@pytest.mark.parametrize("context", [SPAWN, FORK_SERVER])
def test_a_process_has_its_parents_surroundings_of_the_moment_in_which_it_starts(capfd, monkeypatch, tmp_path, context):
    FORK_SERVER.Process(target=print).start()  # the server runs from now on
    monkeypatch.setenv("SET_LATER", "yes")
    monkeypatch.chdir(tmp_path)
    ours, theirs = context.Pipe()
    child = context.Process(target=_tell_surroundings, args=(theirs,))
    child.start()
    assert ours.recv() == ("yes", str(tmp_path), child.pid)
    child.join(30)
    assert child.exitcode == 0
    said = capfd.readouterr()
    assert said.out.endswith("to standard output\n")
    assert said.err == "to standard error\n"


def test_what_the_fork_server_imports_runs_no_thread_and_no_torch():
    code = """
import importlib, sys, threading
import calvinbench.harness.cli, calvinbench.harness.from_python, calvinbench.harness.execution.world_process
from calvinbench.envs.system.child_process import PRELOADED
for name in PRELOADED:
    importlib.import_module(name)
print(threading.active_count(), "torch" in sys.modules, len(PRELOADED) > 4)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False", "True"]
