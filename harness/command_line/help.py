"""The help of `calvinbench` and of each command (in code: a verb)."""

import inspect
import shutil
import textwrap
from collections.abc import Iterable, Sequence

from calvinbench.harness.command_line.registry import HEADINGS, VERBS
from calvinbench.harness.command_line.usage import Example, Usage

DESCRIPTION = "Benchmark VLM + LSTM robot policies on CALVIN's long-horizon chains of language tasks."
_MAX_WIDTH = 100
_NAME_WIDTH = 24
_EXAMPLES = (
    Example("demo", "evaluate four policies on a few chains, and write a table and figures"),
    Example("run --policy expert --chains 10", "evaluate the scripted expert on the first ten chains"),
    Example("report runs", "write tables and figures of these runs"),
)


def top_level_help() -> str:
    """What `calvinbench --help` prints: the commands, below headings."""
    parts = ["calvinbench COMMAND [...]", "", *_wrapped(DESCRIPTION), ""]
    for heading in HEADINGS:
        rows = [(name, verb.summary) for name, verb in VERBS.items() if verb.heading == heading]
        parts += [f"{heading}:", *_table(rows, 16), ""]
    rows = [("--help", "Show this text."), ("--version", "Show versions of calvinbench, Python and torch.")]
    parts += ["Other:", *_table(rows, 16), "", *_example_lines(_EXAMPLES)]
    return "\n".join([*parts, "", "Flags of a command: calvinbench COMMAND --help"])


def verb_help(name: str, verb: type) -> str:
    """What `calvinbench COMMAND --help` prints.

    Args:
        name: The verb's name.
        verb: Its dataclass.
    """
    from calvinbench.harness.command_line.flags import flags_of

    flags = {flag.field: flag for flag in flags_of(verb)}
    usage: Usage | None = getattr(verb, "USAGE", None)
    positionals = [flag.metavar for flag in flags.values() if flag.is_positional]
    parts = [" ".join(["calvinbench", name, *positionals, "[--flags]"]), ""]
    for paragraph in (inspect.getdoc(verb) or "").split("\n\n"):
        parts += [*_wrapped(paragraph), ""]
    headings = dict(usage.headings) if usage is not None else {}
    placed = {field for names in headings.values() for field in names}
    headings["Other" if headings else "Flags"] = tuple(field for field in flags if field not in placed)
    for heading, names in headings.items():
        rows = []
        for flag in (flags[field] for field in names if field in flags):
            value = "" if flag.kind is bool or flag.is_positional else f" {flag.metavar}"
            again = "May be given again." if flag.is_repeatable else ""
            rows.append((flag.name.strip("[]") + value, " ".join(filter(None, (flag.help, again, flag.default)))))
        if heading in ("Other", "Flags"):
            rows.append(("-h, --help", "Show this text."))
        parts += [f"{heading}:", *_table(rows, _NAME_WIDTH), ""]
    if usage is not None:
        parts += _example_lines(usage.examples, name)
    return "\n".join(parts).rstrip()


def _width() -> int:
    return min(_MAX_WIDTH, max(40, shutil.get_terminal_size().columns))


def _wrapped(text: str, indent: int = 0) -> list[str]:
    """Wraps text to lines. No word is broken, so that names of flags stay whole."""
    blank = " " * indent
    return textwrap.wrap(
        " ".join(text.split()),
        _width(),
        initial_indent=blank,
        subsequent_indent=blank,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(rows: Iterable[tuple[str, str]], name_width: int) -> list[str]:
    """Two columns. A name that is too long for the left column gets a line of its own."""
    lines = []
    for name, text in rows:
        right = _wrapped(text, name_width + 2)
        if len(name) + 2 < name_width and right:
            right[0] = f"  {name:{name_width}}{right[0].strip()}"
        else:
            right.insert(0, f"  {name}")
        lines += right
    return lines


def _example_lines(examples: Sequence[Example], verb: str = "") -> list[str]:
    calls = [" ".join(filter(None, ("calvinbench", verb, example.call))) for example in examples]
    lines = ["Examples:" if len(examples) > 1 else "Example:"]
    for call, example in zip(calls, examples, strict=True):
        lines += [f"  {call}", *_wrapped(example.meaning, 6)]
    return lines
