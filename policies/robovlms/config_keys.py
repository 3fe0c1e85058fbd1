"""Reads a configuration key by key: each key has an effect, is listed as idle with a reason, or raises an error."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from calvinbench.envs.names import require_name


class ConfigBlockError(ValueError):
    """A configuration that cannot be read, or one of its keys asks for something that is not supported."""


@dataclass(frozen=True, slots=True)
class IdleKey:
    """A key that has no effect here, and why."""

    key: str
    value: Any
    reason: str


_MISSING = object()


class ConfigKeys:
    """The keys of a configuration, each to be taken once. Keys of sections are called `section.key`.

    Null means the same as a missing key.
    """

    def __init__(self, mapping: Mapping[str, Any], sections: Collection[str], *, strict: bool) -> None:
        """Collects the keys of all sections.

        Args:
            mapping: The content of the file.
            sections: Names of the sections, which are mappings of keys.
            strict: Whether an idle key is an error.

        Raises:
            ConfigBlockError: A section is not a mapping.
        """
        self.strict = strict
        self.idle: list[IdleKey] = []
        self._known: set[str] = set(sections)
        self._left: dict[str, Any] = {}
        for name, value in mapping.items():
            if name not in sections:
                self._left[name] = value
            elif isinstance(value, Mapping):
                self._left |= {f"{name}.{key}": inner for key, inner in value.items()}
            elif value is not None:
                raise ConfigBlockError(f"expected '{name}' to hold keys and values, {{...}}, got {value!r}.")
        self._left = {key: value for key, value in self._left.items() if value is not None}

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def flag(self, key: str, default: bool | None = None) -> bool | None:
        """Takes a key that is true or false."""
        value = self._take(key, default)
        if value is not None and not isinstance(value, bool):
            raise self.refused(key, value, "it is true or false")
        return value

    def number(self, key: str, default: float | None = None) -> float | None:
        """Takes a key that is a number."""
        value = self._take(key, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise self.refused(key, value, "it is a number, without quotes")
        return None if value is None else float(value)

    def count(self, key: str, default: int | None = None, minimum: int = 1) -> int | None:
        """Takes a key that is a whole number."""
        value = self._take(key, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < minimum):
            raise self.refused(key, value, f"it is a whole number of at least {minimum}")
        return value

    def text(self, key: str, default: str | None = None) -> str | None:
        """Takes a key that is text. A number is accepted too (`16` for `"16"`)."""
        value = self._take(key, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
            raise self.refused(key, value, "it is a name in quotes")
        return None if value is None else str(value)

    def numbers(self, key: str, length: int) -> tuple[float, ...] | None:
        """Takes a key that is a list of `length` numbers."""
        value = self._take(key, None)
        if value is None:
            return None
        is_list = isinstance(value, list | tuple) and len(value) == length
        if not is_list or not all(isinstance(each, int | float) for each in value):
            raise self.refused(key, value, f"it is a list of {length} numbers")
        return tuple(float(each) for each in value)

    def require(self, key: str, accepted: Collection[Any], reason: str) -> None:
        """Takes a key that may only have the value that is used anyway.

        Raises:
            ConfigBlockError: It has another value. The message gives the reason.
        """
        value = self._take(key, _MISSING)
        if value is _MISSING:
            return
        if not any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in accepted):
            words = " or ".join(json.dumps(each) for each in accepted) or "no such key"
            raise ConfigBlockError(
                f"expected '{key}' to be {words}, got {shown(value)}: {reason}. Leave the key out, or change it."
            )

    def take_idle(self, key: str, reason: str) -> None:
        """Takes a key that has no effect here.

        Raises:
            ConfigBlockError: The key is present, and idle keys are errors.
        """
        value = self._take(key, _MISSING)
        if value is _MISSING:
            return
        if self.strict:
            raise ConfigBlockError(
                f"expected no key '{key}' (it says {shown(value)}), which would have no effect: {reason}. Leave it "
                "out. (Files of RoboVLMs are read with such keys by `calvinbench import robovlms`.)"
            )
        self.idle.append(IdleKey(key, value, reason))

    def take_idle_section(self, name: str, reason: str) -> None:
        """Takes all keys of a section that were not taken yet."""
        for key in [key for key in self._left if key == name or key.startswith(f"{name}.")]:
            self.take_idle(key, reason)

    def finish(self) -> None:
        """Raises an error for keys that were not taken.

        Raises:
            UnknownNameError: There is such a key. The message says which was probably meant.
        """
        for key in self._left:
            section, dot, name = key.rpartition(".")
            near = {known.rpartition(".")[2] for known in self._known if known.rpartition(".")[0] == section}
            require_name(name, near, f"key of '{section}'" if dot else "key of a configuration")

    def refused(self, key: str, value: Any, reason: str) -> ConfigBlockError:
        """The error for a value that cannot be used."""
        return ConfigBlockError(f"expected another value of '{key}' than {shown(value)}: {reason}.")

    def agreed(self, values: Mapping[str, Any], what: str) -> Any:
        """The common value of several keys for the same thing; None if all are missing.

        Raises:
            ConfigBlockError: Two of them differ.
        """
        said = {key: value for key, value in values.items() if value is not None}
        if len(set(said.values())) > 1:
            words = ", ".join(f"'{key}' says {shown(value)}" for key, value in said.items())
            raise ConfigBlockError(f"expected one {what}, got several: {words}. Leave all but one out.")
        return next(iter(said.values()), None)

    def _take(self, key: str, default: Any) -> Any:
        self._known.add(key)
        return self._left.pop(key, default)


def shown(value: Any) -> str:
    """A value for a message. A long one is cut."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
