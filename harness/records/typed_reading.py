"""JSON into frozen dataclasses, by their annotations: what is of another type or out of its range is refused by name.

Types are taken strictly: no number from a text, no whole number from `true`. Keys that a class does not have are passed
over, for a later version may have added them.
"""

import json
import math
from collections.abc import Collection, Hashable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from annotated_types import Ge, Le, Lt, MinLen

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_Read = TypeVar("_Read")

Name = Annotated[str, MinLen(1)]
"""A text that is not empty."""
Count = Annotated[int, Ge(0), Le(2**53)]
"""How many; as large as a float holds exactly."""
Size = Annotated[int, Ge(1), Le(2**53)]
"""How many, at least one."""
Amount = Annotated[float, Ge(0), Lt(math.inf)]
"""A time or a length, finite."""
Share = Annotated[float, Ge(0), Le(1)]
"""A part of a whole."""

_WORDS = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "a text",
    "a valid boolean": "true or false",
    "a valid array": "a list",
    "greater than": "a number greater than",
    "less than": "a number less than",
}
"""Ours for pydantic's."""
NOTHING = type("Nothing", (), {"__repr__": lambda _: "nothing"})()
"""What came where a field is missing, in the message of `InvalidFieldError`."""
_MOST_SHOWN = 80
_MOST_NAMED = 3


class InvalidFieldError(ValueError):
    """A field of a JSON object is not what it should be; the message says which, what was expected and what came."""

    def __init__(self, path: str, expected: str, got: Any) -> None:
        """Names the field.

        Args:
            path: The field's names and places, parted by dots, such as `subtasks.0.steps`; empty for the whole.
            expected: What should be there.
            got: What is there.
        """
        where = f"field '{path}'" if path else "the whole"
        super().__init__(f"{where}: expected {expected}, got {shortened(got)}")
        self.path = path


def shortened(value: Any) -> str:
    """A value as a short text, in ASCII."""
    text = ascii(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


def read_as(kind: type[_Read], values: Any, free_texts: Collection[str] = ()) -> _Read:
    """Makes an instance of a dataclass from what `json.loads` gave.

    Args:
        kind: The dataclass.
        values: A mapping of its fields.
        free_texts: Fields that hold a text or None, which may quote bytes that are no Unicode.

    Raises:
        InvalidFieldError: A field is missing, of another type or out of its range; the first few are named.
    """
    from pydantic import ValidationError

    if not isinstance(values, Mapping):
        raise InvalidFieldError("", "an object", values)
    texts = {name: values[name] for name in free_texts if values.get(name) is not None}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise InvalidFieldError(name, "a text or null", text)
    # Of lists and objects as JSON has them, tuples and dataclasses are made only when the text itself is read.
    rest = {name: "" if name in texts else value for name, value in values.items()}
    try:
        text = json.dumps(rest, allow_nan=False)
    except ValueError:
        _require_json_values(rest)
        raise
    try:
        # A class is hashable, whatever its instances are; mypy takes the latter for the former.
        read: _Read = _adapter(cast(Hashable, kind)).validate_json(text, strict=True)
    except ValidationError as error:
        _require_json_values(rest)
        raise _as_invalid_field(error, values) from error
    for name, free in texts.items():
        object.__setattr__(read, name, free)  # it was made here, and nobody has it yet
    return read


@cache
def _adapter(kind: Hashable) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(cast(type[Any], kind))


def _require_json_values(values: Any) -> None:
    """Refuses numbers that are not finite and half characters, which JSON's standard does not have."""
    for path, value in _leaves(values, ()):
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidFieldError(".".join(path), "a finite number", value)
        if isinstance(value, str) and not _is_unicode(value):
            raise InvalidFieldError(".".join(path), "text in Unicode, without half characters (surrogates)", value)


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All texts and numbers, keys among them, each with the way to it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield path, key
            yield from _leaves(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _leaves(inner, (*path, str(place)))
    else:
        yield path, value


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _as_invalid_field(error: Any, values: Any) -> InvalidFieldError:
    """The first field that pydantic refuses, in our words; of a union, all that it may be."""
    found: dict[tuple[str, ...], tuple[list[str], Any]] = {}
    for each in error.errors(include_url=False, include_context=False):
        is_missing = each["type"] in ("missing", "missing_argument")
        path = tuple(map(str, each["loc"])) if is_missing else _existing(each["loc"], values)
        wanted, _ = found.setdefault(path, ([], NOTHING if is_missing else each["input"]))
        wanted.append("a value" if is_missing else _in_words(each["msg"]))
    (path, (wanted, got)), *others = found.items()
    also = [f"'{'.'.join(other)}'" for other, _ in others]
    more = f"{', '.join(also[:_MOST_NAMED])}{' and others' if len(also) > _MOST_NAMED else ''}"
    expected = " or ".join(dict.fromkeys(wanted))
    invalid = InvalidFieldError(".".join(path), expected, got)
    if also:
        invalid.args = (f"{invalid}; wrong too: {more}",)
    return invalid


def _existing(location: tuple[int | str, ...], values: Any) -> tuple[str, ...]:
    """A way as far as it leads in the values: behind that pydantic says which kind of a union it tried."""
    path: list[str] = []
    for step in location:
        try:
            values = values[step]
        except (LookupError, TypeError):
            break
        path.append(str(step))
    return tuple(path)


def _in_words(message: str) -> str:
    """What pydantic says should be there, as it stands after "expected"."""
    for before, after in (
        ("Value error, expected ", ""),
        ("Input should be ", ""),
        ("String should have ", "a text with "),
        ("String should match ", "a text that matches "),
        ("Tuple should have ", "a list with "),
    ):
        if message.startswith(before):
            words = message.removeprefix(before)
            for pydantics, ours in _WORDS.items():
                words = words.replace(pydantics, ours)
            return after + words
    return message
