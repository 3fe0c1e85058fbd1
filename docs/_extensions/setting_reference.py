"""A Sphinx extension with one directive, `settings`: a table of the settings of one kind of policy.

    ```{settings} ws
    ```

The names, defaults and meanings come from the code: from the dataclass of the kind's settings, or from the factory's
parameters and docstring.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import docstring_parser
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from calvinbench.policies import registry
from calvinbench.policies.import_string import import_object


class Setting(NamedTuple):
    """One line of the table."""

    name: str
    default: str
    meaning: str


def settings_of(kind: str) -> list[Setting]:
    """The settings of a kind of policy, in the order of the code.

    Raises:
        UnknownNameError: There is no such kind.
        ValueError: A setting has no line in the docstring.
    """
    if hasattr(registry, "settings_of"):
        return _of_dataclass(registry.settings_of(kind))
    return _of_factory(import_object(registry.POLICY_KINDS[kind]))


def _of_dataclass(cls: type[Any] | None) -> list[Setting]:
    if cls is None:
        return []
    said: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        said.update(_meanings(base.__doc__))
    return [
        Setting(field.name, _default(field.default), _required(said, field.name, cls.__name__))
        for field in dataclasses.fields(cls)
    ]


def _of_factory(factory: Any) -> list[Setting]:
    said = _meanings(factory.__doc__)
    parameters = inspect.signature(factory).parameters.values()
    return [
        Setting(parameter.name, _default(parameter.default), said.get(parameter.name, ""))
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY
    ]


def _meanings(docstring: str | None) -> Mapping[str, str]:
    return {
        entry.arg_name: " ".join((entry.description or "").split())
        for entry in docstring_parser.parse(docstring or "").params
    }


def _required(said: Mapping[str, str], name: str, owner: str) -> str:
    if not said.get(name):
        raise ValueError(f"expected a line for '{name}' in the docstring of {owner}, found none.")
    return said[name]


def _default(value: Any) -> str:
    if value is None or value is inspect.Parameter.empty or value is dataclasses.MISSING:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value != "" else ""


class Settings(SphinxDirective):
    """The directive; its argument is the kind."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        """Makes the table by way of Markdown, so that backquotes in docstrings become code."""
        found = settings_of(self.arguments[0])
        if not found:
            return self.parse_text_to_nodes("No settings but `label`.\n")
        lines = ["| setting | default | meaning |", "|---|---|---|"]
        for setting in found:
            cells = (f"`{setting.name}`", setting.default, setting.meaning)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return self.parse_text_to_nodes("\n".join(lines) + "\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_directive("settings", Settings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
