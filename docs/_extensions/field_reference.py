"""A Sphinx extension with one directive, `fields`: a table of a dataclass's fields, from their declarations.

```{fields} calvinbench.harness.records.records:ChainRecord
```
"""

import dataclasses
import enum
import re
import types
import typing
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import docstring_parser
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_NONE = re.compile(r"\bNone\b")
"""In a file it is `null`."""
_FLAG = re.compile(r"(?<![`\w])(--[a-z][a-z-]*)")


def type_in_words(annotation: Any) -> str:  # noqa: PLR0911  one line a kind
    """A field's type as a reader of JSON or YAML knows it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_in_words(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_in_words(argument) for argument in arguments)
    is_choice = isinstance(annotation, type) and issubclass(annotation, enum.StrEnum)
    if origin is typing.Literal or is_choice:
        arguments = tuple(annotation) if is_choice else arguments
        return " or ".join(f'"{argument}"' for argument in arguments)
    if origin in (tuple, list) or str(origin).endswith("Sequence"):
        inner = [argument for argument in arguments if argument is not Ellipsis]
        return f"list of {type_in_words(inner[0])}" if inner else "list"
    if origin is not None:
        return "mapping"
    known = {str: "text", Path: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null"}
    if hasattr(annotation, "parse"):
        return "text"
    return known.get(annotation, "mapping" if dataclasses.is_dataclass(annotation) else annotation.__name__)


def rows(cls: type[Any]) -> list[tuple[str, str, str]]:
    """Name, type and meaning of each field, of base classes too.

    Raises:
        ValueError: A field has no line in the class's docstring.
    """
    said = {
        entry.arg_name: entry.description or ""
        for base in cls.__mro__
        if dataclasses.is_dataclass(base)
        for entry in docstring_parser.parse(base.__doc__ or "").params
    }
    hints = typing.get_type_hints(cls, include_extras=True)
    found = []
    for field in dataclasses.fields(cls):
        meaning = said.get(field.name) or _declared(hints[field.name])
        if not meaning:
            raise ValueError(f"expected a line for {field.name} in the docstring of {cls.__name__}, found none.")
        text = _FLAG.sub(r"`\1`", _NONE.sub("null", " ".join(meaning.split())))
        found.append((field.name, type_in_words(hints[field.name]), text))
    return found


def _declared(annotation: Any) -> str:
    """The help of a setting that is declared in its field's annotation; empty for other fields."""
    extras = typing.get_args(annotation)[1:] if typing.get_origin(annotation) is typing.Annotated else ()
    return next((extra.help for extra in extras if hasattr(extra, "help")), "")


class Fields(SphinxDirective):
    """The directive; its argument is `module:Class`."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        """Makes the table by way of Markdown, so that backquotes in docstrings become code."""
        module, _, name = self.arguments[0].partition(":")
        lines = ["| field | type | meaning |", "|---|---|---|"]
        for field, kind, meaning in rows(getattr(import_module(module), name)):
            cells = [f"`{field}`", kind, meaning]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return self.parse_text_to_nodes("\n".join(lines) + "\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_directive("fields", Fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
