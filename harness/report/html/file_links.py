"""Links from the page to the files beside it."""

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

_FORMS = {
    ".md": "Markdown",
    ".tex": "LaTeX",
    ".csv": "CSV",
    ".pdf": "PDF",
    ".svg": "SVG",
    ".png": "PNG",
}
_REMARKS = {
    "table-narrow": "one column",
    "runs": "each run",
    "seeds": "training seeds",
    "smoothness": "smoothness of all pairs",
}
"""On files that stand beside the main ones of a table, by name."""


class FileLink(NamedTuple):
    """A link to a file.

    Attributes:
        text: What is shown, such as `"CSV"`.
        href: The address, relative to the page.
        name: The file's name.
    """

    text: str
    href: str
    name: str


TABLE_SUFFIXES, FIGURE_SUFFIXES = (".md", ".tex", ".csv"), (".pdf", ".svg", ".png")


def links_to(
    stems: Iterable[str], files: Collection[str], suffixes: Sequence[str] = TABLE_SUFFIXES
) -> tuple[FileLink, ...]:
    """Links to those of a folder's files that have given names, without their suffixes.

    Args:
        stems: Such as `"table"`, in the order of the links.
        files: Names of the files that there are.
        suffixes: The suffixes that are meant.
    """
    return tuple(
        FileLink(_form(stem, suffix), quote(f"{stem}{suffix}"), f"{stem}{suffix}")
        for stem in stems
        for suffix in suffixes
        if f"{stem}{suffix}" in files
    )


def _form(stem: str, suffix: str) -> str:
    return f"{_FORMS[suffix]} ({_REMARKS[stem]})" if stem in _REMARKS else _FORMS[suffix]


def named_links(names: Iterable[str], files: Collection[str]) -> tuple[FileLink, ...]:
    """Links to those of `names` that there are, with the files' names as texts."""
    return tuple(FileLink(name, quote(name), name) for name in names if name in files)


def relative_link(file: Path, directory: Path) -> str:
    """A link that holds wherever the folder that holds both is moved to."""
    return quote(Path(os.path.relpath(file.resolve(), directory.resolve())).as_posix())
