"""Flags of a command that follow from declared settings, so that a command does not repeat them."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import tyro

from calvinbench.harness.suite.setting import NamedSetting, settings_of

_Command = TypeVar("_Command", bound=type)


def with_setting_flags(*owners: type) -> Callable[[_Command], _Command]:
    """Adds a field for each setting to a command's class. Place this decorator below `@dataclass`.

    Args:
        *owners: Classes that declare settings.
    """

    def add(command: _Command) -> _Command:
        for named in (named for owner in owners for named in settings_of(owner)):
            command.__annotations__[named.name] = _annotation(named)
            setattr(command, named.name, False if named.kind is bool else None)
        return command

    return add


def given_settings(command: Any, *owners: type) -> dict[str, Any]:
    """The settings whose flags were given, with their values."""
    values = {named.name: getattr(command, named.name) for owner in owners for named in settings_of(owner)}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def _annotation(named: NamedSetting) -> Any:
    """The type of a setting's flag, with its help."""
    setting, default = named.setting, named.default_in_words
    return Annotated[
        named.flag_type,
        tyro.conf.arg(
            metavar=setting.metavar or (f"{{{','.join(map(str, setting.choices))}}}" if setting.choices else None),
            help=setting.help,
            help_behavior_hint=f"(default: {default})" if default else "",
        ),
    ]
