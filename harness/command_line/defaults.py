"""Defaults in the help of a command. They are read from the dataclasses that its flags set, so no help repeats them."""

import re
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Annotated, Any, TypeVar, get_args

_Command = TypeVar("_Command", bound=type)


def with_defaults_of(*owners: type) -> Callable[[_Command], _Command]:
    """Puts the defaults of dataclasses into the help of a command's flags. Place this decorator below `@dataclass`.

    A flag keeps its own text if the default is None or an empty tuple, because these mean nothing to a reader.

    Args:
        *owners: Dataclasses with fields of the same names.
    """
    values = {field.name: field.default for owner in owners for field in fields(owner) if field.default is not MISSING}

    def add(command: _Command) -> _Command:
        for name, hint in command.__annotations__.items():
            if values.get(name) not in (None, ()) and hasattr(hint, "__metadata__"):
                command.__annotations__[name] = _with_default(hint, default_in_words(values[name]))
        return command

    return add


def default_in_words(value: Any) -> str:
    """A default in the form that the flag takes: `2e-5`, `true`, `0`."""
    if isinstance(value, bool):
        return str(value).lower()
    return re.sub(r"e-0", "e-", f"{value:g}") if isinstance(value, float) else str(value)


def _with_default(hint: Any, words: str) -> Any:
    kind, *extras = get_args(hint)
    changed = [
        replace(extra, help_behavior_hint=f"(default: {words})")
        if is_dataclass(extra) and not isinstance(extra, type) and hasattr(extra, "help_behavior_hint")
        else extra
        for extra in extras
    ]
    return Annotated[(kind, *changed)]
