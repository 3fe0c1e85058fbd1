"""A Sphinx extension that writes the reference of every command from the command line's own flags and help texts."""

import inspect
import re
from importlib import import_module
from pathlib import Path

from sphinx.application import Sphinx

from calvinbench.harness.command_line.flags import Flag, flags_of
from calvinbench.harness.command_line.help import DESCRIPTION
from calvinbench.harness.command_line.registry import HEADINGS, VERBS
from calvinbench.harness.command_line.usage import Usage

_LITERAL = re.compile(r"(?<!`)(--[a-z][a-z-]*)")


def command_names() -> tuple[str, ...]:
    """The commands, in the order of the top-level help."""
    return tuple(VERBS)


def command_page(name: str) -> str:
    """The page of a command: what it does, each flag with its default, and examples."""
    module, _, class_name = VERBS[name].target.partition(":")
    verb = getattr(import_module(f"calvinbench.harness.verbs.{module}"), class_name)
    flags = {flag.field: flag for flag in flags_of(verb)}
    usage: Usage = verb.USAGE
    positionals = [flag.metavar for flag in flags.values() if flag.is_positional]
    call = " ".join(["calvinbench", name, *positionals, "[--flags]"])
    lines = [f"# `calvinbench {name}`", "", f"```text\n{call}\n```", "", _marked(inspect.getdoc(verb) or ""), ""]
    lines += ["## Examples", ""]
    for example in usage.examples:
        lines += [
            f"{_sentence(example.meaning)}:",
            "",
            f"```text\ncalvinbench {name} {example.call}".rstrip(),
            "```",
            "",
        ]
    headings = dict(usage.headings)
    placed = {field for names in headings.values() for field in names}
    headings["Other flags" if headings else "Flags"] = tuple(field for field in flags if field not in placed)
    for heading, names in headings.items():
        found = [flags[field] for field in names if field in flags]
        if found:
            lines += [f"## {heading}", "", *(line for flag in found for line in _entry(flag))]
    return "\n".join(lines)


def _entry(flag: Flag) -> list[str]:
    """A flag as an entry of a definition list."""
    value = "" if flag.kind is bool or flag.is_positional else f" {flag.metavar}"
    again = "May be given again." if flag.is_repeatable else ""
    text = " ".join(filter(None, (flag.help, again, flag.default)))
    return [f"`{flag.name.strip('[]')}{value}`", f": {_marked(text)}", ""]


def _marked(text: str) -> str:
    """The text as Markdown, with flags as code."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    parts = ("".join(_escaped(part) for part in re.split(r"(`[^`]*`)", paragraph)) for paragraph in paragraphs)
    return "\n\n".join(parts)


def _escaped(part: str) -> str:
    return part if part.startswith("`") else _LITERAL.sub(r"`\1`", part.replace("*", "\\*").replace("<", "\\<"))


def _sentence(text: str) -> str:
    return _marked(text[0].upper() + text[1:])


def index_page() -> str:
    """The page that lists the commands."""
    lines = ["# Commands", "", DESCRIPTION, "", "`calvinbench COMMAND --help` prints the text of these pages.", ""]
    for heading in HEADINGS:
        lines += [f"## {heading}", ""]
        for name, verb in VERBS.items():
            if verb.heading == heading:
                lines += [f"[`calvinbench {name}`]({name}.md)", f": {_marked(verb.summary)}", ""]
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", *VERBS, "```", ""])


def write_pages(app: Sphinx) -> None:
    """Writes one page a command and their index into `reference/commands/`."""
    folder = Path(app.srcdir) / "reference" / "commands"
    folder.mkdir(parents=True, exist_ok=True)
    for name in command_names():
        _write_if_changed(folder / f"{name}.md", command_page(name))
    _write_if_changed(folder / "index.md", index_page())


def _write_if_changed(path: Path, text: str) -> None:
    """Writes a page only if it changed, so that Sphinx does not read it again."""
    if not path.is_file() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
