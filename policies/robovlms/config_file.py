"""Reads configuration files: JSON with `//` comments, in one or several blocks, on top of the parents that they name.

The package json5 does not fit here. It reads one value and not several blocks, and it accepts forms that RoboVLMs' own
reader refuses (single quotes, names without quotes, trailing commas), so that a mistake would pass unnoticed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calvinbench.policies.robovlms.config_keys import ConfigBlockError, shown


def read_blocks(path: Path) -> dict[str, Any]:
    """Reads a file of JSON with `//` comments. Several blocks in a row are merged.

    A key `parent` names a file, relative to this file's folder, that gives all keys that are not in this file, as in
    RoboVLMs.

    Raises:
        ConfigBlockError: It is not such a file.
    """
    return _read_with_parents(path.expanduser(), ())


def _read_with_parents(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in children:
        raise ConfigBlockError(f"expected parents of '{children[0]}' that end, got '{path}' as its own parent.")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigBlockError(f"expected a file of JSON, got '{path}', which is no text.") from error
    mapping = parse_blocks(text, f"'{path}'")
    parent = mapping.pop("parent", None)
    if parent is None:
        return mapping
    below = _read_with_parents(path.parent / str(parent), (*children, path.resolve()))
    return _laid_over(below, mapping)


def parse_blocks(text: str, origin: str) -> dict[str, Any]:
    """Reads one or several blocks of JSON, with or without comments.

    Args:
        text: The text.
        origin: Where it is from, for messages.

    Raises:
        ConfigBlockError: The text is not JSON, or two blocks contradict each other.
    """
    plain, decoder = without_comments(text), json.JSONDecoder(object_pairs_hook=_without_repeats)
    mapping: dict[str, Any] = {}
    place, blocks = 0, 0
    while (rest := plain[place:].lstrip()) or not blocks:
        place = len(plain) - len(rest)
        try:
            block, place = decoder.raw_decode(plain, place)
        except json.JSONDecodeError as error:
            raise ConfigBlockError(
                f"expected JSON in {origin}, with // for comments, but at line {error.lineno}: {error.msg}."
            ) from error
        if not isinstance(block, dict):
            raise ConfigBlockError(f"expected blocks {{...}} of keys and values in {origin}, got {shown(block)}.")
        mapping, blocks = _merged(mapping, block, origin), blocks + 1
    return mapping


def without_comments(text: str) -> str:
    """The text without `//` comments. Inside a string, `//` is not a comment."""
    lines = []
    for line in text.split("\n"):
        inside = escaped = False
        end = len(line)
        for place, letter in enumerate(line):
            if not inside and line.startswith("//", place):
                end = place
                break
            if letter == '"' and not escaped:
                inside = not inside
            escaped = inside and letter == "\\" and not escaped
        lines.append(line[:end])
    return "\n".join(lines)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A block without repeated keys. JSON allows them, but in a configuration they are a mistake."""
    block: dict[str, Any] = {}
    for key, value in pairs:
        if key in block and block[key] != value:
            raise ConfigBlockError(f"expected key '{key}' once in a block, got {shown(block[key])} and {value!r}.")
        block[key] = value
    return block


def _merged(first: dict[str, Any], second: dict[str, Any], origin: str) -> dict[str, Any]:
    """Both blocks together. A key must not have two values."""
    merged = dict(first)
    for key, value in second.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value, origin)
        elif key in merged and merged[key] != value:
            raise ConfigBlockError(
                f"expected one value of '{key}' in {origin}, got {shown(merged[key])} and {shown(value)}."
            )
        else:
            merged[key] = value
    return merged


def _laid_over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        is_section = isinstance(value, Mapping) and isinstance(merged.get(key), dict)
        merged[key] = _laid_over(merged[key], value) if is_section else value
    return merged
