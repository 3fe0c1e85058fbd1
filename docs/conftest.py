"""Runs the code blocks of the pages: ```` ```bash ```` and ```` ```python ````, page by page, in the page's order.

Each page has an empty folder of its own, in which its commands run and its Python blocks find their files. `results` in
it leads to the shipped runs. The blocks of a page build on each other, so pytest-xdist must give a page to one process:
`--dist loadfile`, as `make test` does. A block that cannot run in a test is marked above it with the reason:
`% skip: next "needs a GPU"`. Blocks that only show text have the language `text`, `yaml` or `console`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sybil import Example, Sybil
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser, SkipParser

from support import command_server

_TIMEOUT_SECONDS = 300


def _run_shell(example: Example) -> None:
    """Runs a block of shell commands; any command that fails, fails the test with what was printed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", str(example.parsed)],
        cwd=example.namespace["folder"],
        env={**os.environ, **_places()},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"exit status {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def _places() -> dict[str, str]:
    """`calvinbench` in a block is started by the server of commands; other programs are those of this environment."""
    folders = str(command_server.shell_folder()), str(Path(sys.executable).parent), os.environ["PATH"]
    return {"PATH": os.pathsep.join(folders), command_server.ADDRESS_VARIABLE: str(command_server.address())}


def _enter_folder(namespace: dict[str, object]) -> None:
    namespace["before"] = Path.cwd()
    folder = tempfile.mkdtemp(prefix="calvinbench-docs-")
    (Path(folder) / "results").symlink_to(Path(__file__).parents[1] / "results")
    namespace["folder"] = folder
    sys.path.insert(0, folder)
    os.chdir(folder)


def _leave_folder(namespace: dict[str, object]) -> None:
    folder = str(namespace["folder"])
    os.chdir(str(namespace["before"]))
    sys.path.remove(folder)
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(folder):
            del sys.modules[name]  # the next page may write another file of this name
    shutil.rmtree(folder, ignore_errors=True)


pytest_collect_file = Sybil(
    parsers=[CodeBlockParser("bash", _run_shell), PythonCodeBlockParser(), SkipParser()],
    patterns=["*.md"],
    excludes=["_build/**", "reference/commands/**", "study/**"],
    setup=_enter_folder,
    teardown=_leave_folder,
).pytest()
