"""A Sphinx extension that writes the reference of every command from the command line's own help."""

import os
import re
import subprocess
import sys
from pathlib import Path

from sphinx.application import Sphinx

_WIDTH = "96"
_PAGE = """# {title}

```text
{text}
```
"""


def help_text(*words: str) -> str:
    """What `calvinbench WORDS --help` prints, without colours.

    Raises:
        subprocess.CalledProcessError: There is no such command.
    """
    done = subprocess.run(
        [sys.executable, "-m", "calvinbench.harness.cli", *words, "--help"],
        env={**os.environ, "COLUMNS": _WIDTH, "TERM": "dumb", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).rstrip()


def command_names() -> tuple[str, ...]:
    """The commands, in the order of the top-level help."""
    from calvinbench.harness.command_line.registry import VERBS

    return tuple(VERBS)


def write_pages(app: Sphinx) -> None:
    """Writes one page a command and their index into `reference/commands/`."""
    folder = Path(app.srcdir) / "reference" / "commands"
    folder.mkdir(parents=True, exist_ok=True)
    names = command_names()
    for name in names:
        page = _PAGE.format(title=f"`calvinbench {name}`", text=help_text(name))
        _write_if_changed(folder / f"{name}.md", page)
    index = _PAGE.format(title="Commands", text=help_text())
    index += "\n```{toctree}\n:maxdepth: 1\n\n" + "\n".join(names) + "\n```\n"
    _write_if_changed(folder / "index.md", index)


def _write_if_changed(path: Path, text: str) -> None:
    """Leaves a page that is the same untouched, so that Sphinx does not read it anew."""
    if not path.is_file() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
