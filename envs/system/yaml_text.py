"""Reads YAML, and refuses a key that is given twice: PyYAML would silently take the last one."""

from collections.abc import Hashable
from typing import Any

import yaml


class RepeatedKeyError(yaml.YAMLError):
    """A mapping has the same key twice."""


def read_yaml(text: str) -> Any:
    """The value that a YAML text stands for; JSON is YAML too.

    Raises:
        RepeatedKeyError: A mapping has the same key twice. The message names the key and its lines.
        yaml.YAMLError: The text is not YAML.
    """
    return yaml.load(text, _Loader)  # noqa: S506  a subclass of the safe loader


def kind_in_words(value: Any) -> str:
    """What a YAML text holds instead of a mapping, for an error message."""
    if value is None:
        return "an empty file"
    return "a list" if isinstance(value, list) else repr(value)


class _Loader(yaml.SafeLoader):
    """The safe loader, with a check of the keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            key = (key_node.tag, key_node.value) if isinstance(key_node, yaml.ScalarNode) else id(key_node)
            if key in lines:
                name = key_node.value
                raise RepeatedKeyError(
                    f"the key '{name}' stands in line {lines[key]} and again in line {line}. Remove one of them."
                )
            lines[key] = line
        return super().construct_mapping(node, deep)
