"""How a setting is declared: once, in the annotation of a dataclass's field. Flags, YAML keys and checks follow."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from calvinbench.envs.names import require_name

MAX_WHOLE_NUMBER = 2**53
"""Records hold no larger numbers, see `records.typed_reading`."""
A_NAME = "a name"
A_FOLDER = "a folder's path"


@dataclass(frozen=True, slots=True)
class Setting:
    """The declaration of a setting: `chains: Annotated[int, Setting("The first N chains.", at_least=1)] = 1000`.

    Attributes:
        help: What the setting does, in a sentence. `--help` shows it.
        metavar: The placeholder for the value in help; empty for one that follows from the type.
        default: What happens without a value, if the field's default is None; empty for no text.
        at_least: The smallest number that is allowed.
        choices: The values that are allowed; empty for any.
        text: What a text must be, for error messages; empty if a later check reports it.
        varies: Whether a suite may have several values. Each policy is then run with each of them.
        is_apart: Of a setting that varies: whether runs of different values cannot stand in one table.
        affects_results: Whether records depend on it. `run.json` must then hold it.
        recorded_as: Where `run.json` holds it; empty for a field of the same name.
    """

    help: str
    metavar: str = ""
    default: str = ""
    at_least: int = 0
    choices: tuple[Any, ...] = ()
    text: str = ""
    varies: bool = False
    is_apart: bool = False
    affects_results: bool = True
    recorded_as: str = ""


@dataclass(frozen=True, slots=True)
class NamedSetting:
    """A setting, and what its field declares.

    Attributes:
        name: The field's name, which is the YAML key; the flag is the same with hyphens.
        kind: Type of a value: `int`, `float`, `bool`, `str` or `Path`.
        is_many: Whether it has several values at once, as `tasks` has.
        is_optional: Whether None is allowed.
        value: The field's default.
        setting: The declaration.
    """

    name: str
    kind: type
    is_many: bool
    is_optional: bool
    value: Any
    setting: Setting

    def require(self, value: Any) -> None:
        """Checks a value.

        Raises:
            UnknownNameError: The value is a text and not one of the choices.
            ValueError: The value has another type or is out of range.
        """
        if (value is None and self.is_optional) or self.is_many:
            return
        setting = self.setting
        if setting.choices and self.kind is str:
            require_name(str(value), setting.choices, self.name)
        elif setting.choices and (value not in setting.choices or isinstance(value, bool)):
            choices = ", ".join(map(str, setting.choices))
            raise ValueError(f"expected {self.name} to be one of {choices}, got {value!r}.")
        elif self.kind in _CHECKS:
            _CHECKS[self.kind](self, value)

    @property
    def flag_type(self) -> Any:
        """The type of the flag that sets it: without a value, a flag is None."""
        if self.kind is bool:
            return bool
        kind = Literal[self.setting.choices] if self.setting.choices else self.kind
        return (tuple[kind, ...] if self.is_many else kind) | None  # type: ignore[valid-type]

    @property
    def default_in_words(self) -> str:
        """The default as help shows it; empty for none."""
        if self.setting.default or self.value in (None, ()) or self.kind is bool:
            return self.setting.default
        return f"{self.value:g}" if self.kind is float else str(self.value)


@cache
def settings_of(owner: type) -> tuple[NamedSetting, ...]:
    """The settings that a dataclass declares, in the order of its fields. Fields without a declaration are left out."""
    hints = get_type_hints(owner, include_extras=True)
    return tuple(
        _named(field.name, hints[field.name], field.default, setting)
        for field in fields(owner)
        for setting in getattr(hints[field.name], "__metadata__", ())
        if isinstance(setting, Setting)
    )


def require_settings(owner: Any) -> None:
    """Checks the values of all settings of an object.

    Raises:
        UnknownNameError: A text is not one of its choices.
        ValueError: A value has another type or is out of range.
    """
    cls: type = type(owner)
    for named in settings_of(cls):
        named.require(getattr(owner, named.name))


def _named(name: str, hint: Any, value: Any, setting: Setting) -> NamedSetting:
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    kinds = [hint]
    if get_origin(hint) in (Union, UnionType):
        kinds = list(get_args(hint))
    is_optional = NoneType in kinds
    kind = next(each for each in kinds if each is not NoneType)
    is_many = get_origin(kind) is tuple
    return NamedSetting(name, get_args(kind)[0] if is_many else kind, is_many, is_optional, value, setting)


def _require_whole_number(named: NamedSetting, value: Any) -> None:
    lowest = named.setting.at_least
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
        raise ValueError(f"expected {named.name} to be a whole number of at least {lowest}, got {value!r}.")
    if value > MAX_WHOLE_NUMBER:
        raise ValueError(f"expected {named.name} to be a whole number of at most {MAX_WHOLE_NUMBER}, got {value}.")


def _require_amount(named: NamedSetting, value: Any) -> None:
    lowest = named.setting.at_least
    if not isinstance(value, int | float) or isinstance(value, bool) or not lowest <= value < math.inf:
        raise ValueError(f"expected {named.name} to be a number of at least {lowest}, got {value!r}.")


def _require_switch(named: NamedSetting, value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"expected {named.name} to be true or false, got {value!r}.")


def _require_text(named: NamedSetting, value: Any) -> None:
    if named.setting.text and (not isinstance(value, str) or not value):
        raise ValueError(f"expected {named.name} to be {named.setting.text}, got {value!r}.")


_CHECKS: dict[type, Callable[[NamedSetting, Any], None]] = {
    int: _require_whole_number,
    float: _require_amount,
    bool: _require_switch,
    str: _require_text,
}
