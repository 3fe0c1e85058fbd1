"""`calvinbench` commands in processes of their own that start at once: copies of a server that has made the imports.

A command imports torch and transformers, which takes five seconds of a processor, and the tests start some hundred. The
server imports them once for each process of pytest. A command is a copy of it, made by `fork`. It gets the environment,
folder and standard streams of its caller, and runs `calvinbench.harness.cli.main` as the installed command does. The
workers that it starts are copies of one more server, which has made the same imports.

What is tested when a process is started, killed with all its children, or leaks, uses `subprocess` instead.
"""

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from types import ModuleType

ADDRESS_VARIABLE = "CALVINBENCH_TEST_COMMANDS"
"""Names the socket for the shell's `calvinbench`, see `shell_folder`."""
SCRIPT = Path(sys.executable).with_name("calvinbench")
_TESTS = Path(__file__).parents[1]
_IMPORTED = (
    "calvinbench.harness.cli",
    "calvinbench.harness.evaluation.suite_evaluation",
    "calvinbench.harness.progress.progress",
    "calvinbench.harness.report.report",
    "calvinbench.harness.training.training",
    "calvinbench.policies.backbones.cnn",
    "calvinbench.policies.factories.checkpoint",
    "calvinbench.policies.factories.untrained",
    "transformers.modeling_utils",
)
_running: dict[int, tuple[Path, socket.socket]] = {}


class Command(subprocess.Popen):
    """`calvinbench` with some words, started by the server; otherwise `subprocess.Popen`, with text streams."""

    seconds = 0.0
    """Of a processor, that commands have taken."""

    def __init__(self, words, **settings):
        super().__init__([str(SCRIPT), *map(str, words)], text=True, **settings)

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest):
        pipes, start_new_session = rest[3:9], rest[-2]
        given = pipes[0], pipes[3], pipes[5]
        files = [own if file == -1 else file for own, file in zip((0, 1, 2), given, strict=True)]
        self._connection = _request(address(), args[1:], cwd, env, files, start_new_session)
        self.pid = int(self._connection.recv(16))
        self._child_created = True
        self._close_pipe_fds(*pipes)

    def _try_wait(self, wait_flags):
        self._connection.setblocking(not wait_flags)
        try:
            status, seconds = self._connection.recv(64).split()
        except BlockingIOError:
            return 0, 0
        Command.seconds += float(seconds)
        return self.pid, int(status)

    def _internal_poll(self, _deadstate=None):
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)
        return self.returncode


def call(words, **settings):
    """Runs a command to its end and returns what it said."""
    with Command(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings) as command:
        output, errors = command.communicate()
    return subprocess.CompletedProcess(command.args, command.returncode, output, errors)


def shell_folder():
    """A folder for `PATH` whose `calvinbench` asks the server of `ADDRESS_VARIABLE`."""
    folder = address().parent
    script = folder / "calvinbench"
    if not script.exists():
        # -S: without site-packages it starts in 20 ms
        script.write_text(f"#!{sys.executable} -S\nimport sys\nsys.path.append({str(_TESTS)!r})\n{_SHELL}")
        script.chmod(0o755)
    return folder


_SHELL = """
import os
from pathlib import Path
from support.command_server import ADDRESS_VARIABLE, _request
connection = _request(Path(os.environ[ADDRESS_VARIABLE]), sys.argv[1:], None, None, [0, 1, 2], False)
connection.recv(16)
sys.exit(os.waitstatus_to_exitcode(int(connection.recv(64).split()[0])))
"""


def address():
    """The socket of this process's server, which is started if there is none. It ends with this process."""
    if os.getpid() not in _running:
        path = Path(tempfile.mkdtemp(prefix="calvinbench-commands-")) / "socket"
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "support.command_server", str(path), str(theirs.fileno())]
        server = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(_TESTS)}, pass_fds=[theirs.fileno()])
        theirs.close()
        assert ours.recv(16) == b"listening", f"the server of commands ended with status {server.wait()}"
        _running[os.getpid()] = path, ours
    return _running[os.getpid()][0]


def _request(path, words, folder, environment, files, start_new_session):
    """A connection on which the process id comes at once, and its status when it has ended."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(str(path))
    request = {
        "words": list(words),
        "folder": str(folder or Path.cwd()),
        "environment": dict(os.environ if environment is None else environment),
        "start_new_session": bool(start_new_session),
    }
    with tempfile.TemporaryFile("w+") as file:  # a packet holds no large environment
        json.dump(request, file)
        file.flush()
        socket.send_fds(connection, [b"request"], [*files, file.fileno()])
    return connection


def serve(path, parent):
    """Runs in the server.

    Args:
        path: Where it listens.
        parent: Ends the server when its other end is closed.
    """
    from importlib import import_module

    for name in _IMPORTED:
        import_module(name)
    _start_server_of_workers(path)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes that answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(64)
        parent.send(b"listening")
        while listener in select.select([listener, parent], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                parent.close()
                _answer(connection)
            connection.close()


def _start_server_of_workers(path):
    """Starts the fork server of `multiprocessing` as a copy of this process. Commands and their workers inherit it."""
    from multiprocessing import forkserver

    server = forkserver._forkserver
    server._forkserver_address = f"{path}-of-workers"
    alive, server._forkserver_alive_fd = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(server._forkserver_address)
        listener.listen()
        if os.fork() == 0:
            os.close(server._forkserver_alive_fd)
            forkserver.main(listener.detach(), alive, [])
            os._exit(0)
    os.close(alive)
    server.ensure_running = lambda: None


def _answer(connection):
    """Runs in a process for each command: starts the command, waits for it, and sends its status and seconds."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(connection, 16, 4)
    with os.fdopen(files.pop(), "r") as file:
        file.seek(0)
        request = json.load(file)
    pid = os.fork()
    if pid == 0:
        _become(connection, files, **request)
    for file in files:
        os.close(file)
    _, status, used = os.wait4(pid, 0)
    with contextlib.suppress(OSError):  # nobody waits for the status any more
        connection.send(f"{status} {used.ru_utime + used.ru_stime}".encode())
    os._exit(0)


def _become(connection, files, words, folder, environment, start_new_session):
    """Runs in the new process: makes it the command, and ends with its status."""
    from multiprocessing import resource_tracker

    if start_new_session:
        os.setsid()
    connection.send(str(os.getpid()).encode())  # only now, for the caller may ask for the session
    connection.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    places = [place for place in environment.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:] = [str(SCRIPT.parent), *places, *[place for place in sys.path if place != str(_TESTS)]]
    sys.argv[:] = [str(SCRIPT), *words]
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__file__ = str(SCRIPT)
    resource_tracker._resource_tracker.__init__()  # its own, as any command has
    status = _status_of_command()
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status)


def _status_of_command():
    from calvinbench.harness.cli import main

    try:
        return main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  as Python ends
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
