"""The command line: `calvinbench run`, `record`, `data`, `report`, `list`, `doctor`, `install-calvin`, ...

Whatever is heavy is imported by the verb that needs it, when it is called.
"""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Protocol

import tyro

from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.verbs.check import Check
from calvinbench.harness.verbs.compare import Compare
from calvinbench.harness.verbs.console import FAILED, WRONG_CALL, tell
from calvinbench.harness.verbs.data import Data
from calvinbench.harness.verbs.demo import Demo
from calvinbench.harness.verbs.doctor import Doctor
from calvinbench.harness.verbs.export import Export
from calvinbench.harness.verbs.import_robovlms import Import
from calvinbench.harness.verbs.install_calvin import InstallCalvin
from calvinbench.harness.verbs.list import List
from calvinbench.harness.verbs.merge import Merge
from calvinbench.harness.verbs.plan import Plan
from calvinbench.harness.verbs.record import Record
from calvinbench.harness.verbs.report import Report
from calvinbench.harness.verbs.run import Run
from calvinbench.harness.verbs.train import Train
from calvinbench.harness.verbs.view import View

DEBUG_VARIABLE = "CALVINBENCH_DEBUG"
"""Set to anything, it shows the traceback of errors that are otherwise told in a sentence."""

_Verb = (
    Annotated[Run, tyro.conf.subcommand(name="run")]
    | Annotated[Check, tyro.conf.subcommand(name="check")]
    | Annotated[Record, tyro.conf.subcommand(name="record")]
    | Annotated[Data, tyro.conf.subcommand(name="data")]
    | Annotated[Train, tyro.conf.subcommand(name="train")]
    | Annotated[Merge, tyro.conf.subcommand(name="merge")]
    | Annotated[Report, tyro.conf.subcommand(name="report")]
    | Annotated[View, tyro.conf.subcommand(name="view")]
    | Annotated[Compare, tyro.conf.subcommand(name="compare")]
    | Annotated[Plan, tyro.conf.subcommand(name="plan")]
    | Annotated[Export, tyro.conf.subcommand(name="export")]
    | Annotated[List, tyro.conf.subcommand(name="list")]
    | Annotated[Doctor, tyro.conf.subcommand(name="doctor")]
    | Annotated[InstallCalvin, tyro.conf.subcommand(name="install-calvin")]
    | Annotated[Demo, tyro.conf.subcommand(name="demo")]
    | Annotated[Import, tyro.conf.subcommand(name="import")]
)


class _Executable(Protocol):
    """What every verb is."""

    def execute(self) -> int:
        """Does it, and returns the exit status."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line says.

    Args:
        arguments: Words after `calvinbench`; None for those of this process.

    Returns:
        The exit status: 0 done, 1 ran and failed, 2 wrong call.
    """
    verb: _Executable = tyro.cli(
        _Verb,
        args=arguments,
        prog="calvinbench",
        description="Benchmark VLM + LSTM robot policies on CALVIN's long-horizon chains of language tasks.",
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes, tyro.conf.AvoidSubcommands),
    )
    logging.basicConfig(format="%(message)s", handlers=[_ToStandardError()], level=logging.WARNING)
    logging.getLogger("calvinbench").setLevel(logging.INFO)
    # A user's own model beside him, `calvin:my_model:MyModel`, is found as `python -m` would find it.
    sys.path.append(str(Path.cwd()))
    try:
        return verb.execute()
    except KeyboardInterrupt:
        return _fail(FAILED, "Stopped. What is finished is kept; the same command goes on with the rest.")
    except OSError as error:
        _raise_when_debugging()
        # Our own say in words which file it is; others have it beside the words.
        return _fail(FAILED, str(error) if error.filename else str(error.strerror or error))
    except RunFailedError as error:
        _raise_when_debugging()
        return _fail(FAILED, str(error))
    except ValueError as error:
        _raise_when_debugging()
        return _fail(WRONG_CALL, str(error))


class _ToStandardError(logging.Handler):
    """Writes to what standard error is at the moment: a live progress bar puts itself there, and lines go above it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def _fail(status: int, words: str) -> int:
    tell(f"calvinbench: {words}")
    return status


def _raise_when_debugging() -> None:
    """Inside an except block: raises on, if the user asked for tracebacks."""
    if os.environ.get(DEBUG_VARIABLE):
        raise  # noqa: PLE0704


if __name__ == "__main__":
    raise SystemExit(main())
