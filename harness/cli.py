"""The command line: `calvinbench run`, `record`, `data`, `report`, `list`, `doctor`, `install-calvin`, ...

Only the command that is asked for is imported (in code: a verb). Heavy packages are imported when it is executed.
"""

import contextlib
import errno
import io
import logging
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Protocol, Union, runtime_checkable

from calvinbench.envs.names import guess
from calvinbench.envs.system.child_process import PRELOADED
from calvinbench.envs.system.redirection import STDOUT, redirect
from calvinbench.harness.command_line.console import DONE, FAILED, WRONG_CALL, tell
from calvinbench.harness.command_line.help import top_level_help, verb_help
from calvinbench.harness.command_line.registry import VERBS
from calvinbench.harness.errors import RunFailedError

PRELOADED.append(__name__)  # a process runs the main module again, which imports this one
DEBUG_VARIABLE = "CALVINBENCH_DEBUG"
"""If this environment variable is set, errors show their traceback instead of one sentence."""
_HELP = ("-h", "--help", "-H", "--help-verbose")
_COMPLETION = "--tyro-"


@runtime_checkable
class _Executable(Protocol):
    """The interface of every verb."""

    def execute(self) -> int:
        """Executes the command and returns the exit status."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Words after `calvinbench`; None for those of this process.

    Returns:
        The exit status: 0 done, 1 ran and failed, 2 wrong call.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _main(words)
    except BrokenPipeError:
        # The reader of the output closed it, as `head` does. Nothing more may be written, not even at exit.
        redirect(STDOUT, None)
        return FAILED


def _main(words: Sequence[str]) -> int:
    """Answers a call. What it prints goes into a pipe that may be closed.

    Raises:
        BrokenPipeError: It was closed.
    """
    if not words:
        tell(top_level_help())
        return WRONG_CALL
    name, *rest = words
    if name in _HELP:
        print(top_level_help())
        return DONE
    if name == "--version":
        from calvinbench.harness.diagnostics.version import version_lines

        print("\n".join(version_lines()))
        return DONE
    if name.startswith(_COMPLETION):
        return _complete(words)
    if name not in VERBS:
        return _fail(WRONG_CALL, _unknown_verb(name))
    return _call(name, rest)


def _call(name: str, words: Sequence[str]) -> int:
    """Parses the words of a command and executes it."""
    module, _, attribute = VERBS[name].target.partition(":")
    verb_type: type[_Executable] = getattr(import_module(f"calvinbench.harness.verbs.{module}"), attribute)
    if any(word in _HELP for word in words):
        print(verb_help(name, verb_type))
        return DONE
    # A user's model in the current folder, `calvin:my_model:MyModel`, is found as `python -m` would find it.
    sys.path.append(str(Path.cwd()))
    try:
        verb = _parse(name, verb_type, words)
        logging.basicConfig(format="%(message)s", handlers=[_ToStandardError()], level=logging.WARNING)
        logging.getLogger("calvinbench").setLevel(logging.INFO)
        return verb.execute()
    except KeyboardInterrupt:
        return _fail(FAILED, "Stopped. Finished work is kept. Run the same command again to resume.")
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 # the last resort; the traceback is one variable away
        _raise_when_debugging()
        return _fail(*_in_words(error, words))


def _in_words(error: Exception, words: Sequence[str]) -> tuple[int, str]:
    """Exit status and message of an error of a call."""
    if isinstance(error, OSError):
        if error.errno == errno.ENAMETOOLONG and error.filename:
            return WRONG_CALL, _long_path(os.fspath(error.filename), words)
        # Our own errors name the file in their text; others have it in an attribute.
        return FAILED, str(error) if error.filename else str(error.strerror or error)
    if isinstance(error, RunFailedError):
        return FAILED, str(error)
    if isinstance(error, ValueError):
        return WRONG_CALL, str(error)
    return FAILED, (
        f"an unexpected {type(error).__name__}: {error}\nThis may be a bug in calvinbench. Set {DEBUG_VARIABLE}=1 "
        "and call it again to see the traceback."
    )


def _long_path(path: str, words: Sequence[str]) -> str:
    """The message about a path that the file system does not take, with the flag that it comes from."""
    longest = max(Path(path).parts, key=lambda name: len(os.fsencode(name)))
    size, total = len(os.fsencode(longest)), len(os.fsencode(path))
    flags = [before for before, word in pairwise(words) if longest in word and before.startswith("--")]
    return (
        f"expected a path {f'as {flags[0]} ' if flags else ''}that the file system takes (usually at most 255 bytes a "
        f"name and 4095 in all), got one with a name of {size} bytes and {total} in all: "
        f"'{path[:40]}...{path[-20:]}'. Shorten it."
    )


def _parse(name: str, verb_type: type[_Executable], words: Sequence[str]) -> _Executable:
    """A verb with its flags.

    Raises:
        WrongCallError: The words are not a call of it.
    """
    import tyro

    from calvinbench.harness.command_line.arguments import WrongCallError, require_good_words
    from calvinbench.harness.command_line.flags import flags_of

    require_good_words(words, flags_of(verb_type), name)
    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(verb_type, args=words, prog=f"calvinbench {name}", config=config)
    except SystemExit as stop:
        # An error that our own checks did not find, without the box that tyro draws around it.
        plain = " ".join(re.sub(r"[─-╿]|\x1b\[[0-9;]*m", " ", said.getvalue()).split())
        raise WrongCallError(f"{name}: {plain}") from stop


def _complete(words: Sequence[str]) -> int:
    """Prints a shell's completion script, for which tyro needs all verbs at once."""
    import tyro

    verbs: list[Any] = []
    for name, verb in VERBS.items():
        module, _, attribute = verb.target.partition(":")
        verb_type = getattr(import_module(f"calvinbench.harness.verbs.{module}"), attribute)
        verbs.append(Annotated[verb_type, tyro.conf.subcommand(name=name)])
    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes, tyro.conf.AvoidSubcommands)
    tyro.cli(Union[tuple(verbs)], args=words, prog="calvinbench", config=config)  # type: ignore[call-overload]  # noqa: UP007
    return DONE


def _unknown_verb(name: str) -> str:
    if name.startswith("-"):
        return f"unknown flag '{name}' before a command. Flags follow the command. All commands: calvinbench --help"
    meant = guess(name, VERBS)
    hint = f" Did you mean '{meant}'?" if meant else ""
    return f"unknown command '{name}'.{hint} All commands: calvinbench --help"


class _ToStandardError(logging.Handler):
    """Writes to the current standard error. A live progress bar replaces it, so that lines appear above the bar."""

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
