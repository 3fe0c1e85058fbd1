"""Reads JSON into frozen dataclasses by their annotations. An error names the field that is wrong.

Types are strict: a string is not read as a number, and `true` is not read as an integer. Unknown keys are ignored,
because a later version may have added them.
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
"""A string that is not empty."""
Count = Annotated[int, Ge(0), Le(2**53)]
"""A count, at most the largest integer that a float holds exactly."""
Size = Annotated[int, Ge(1), Le(2**53)]
"""A count of at least one."""
Amount = Annotated[float, Ge(0), Lt(math.inf)]
"""A finite time or length."""
Share = Annotated[float, Ge(0), Le(1)]
"""A fraction."""

_WORDS = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "a text",
    "a valid boolean": "true or false",
    "a valid array": "a list",
    "greater than": "a number greater than",
    "less than": "a number less than",
}
"""Our words for pydantic's."""
NOTHING = type("Nothing", (), {"__repr__": lambda _: "nothing"})()
"""Stands for a missing value in the message of `InvalidFieldError`."""
_MOST_SHOWN = 80
_MOST_NAMED = 3


class InvalidFieldError(ValueError):
    """A field of a JSON object is invalid. The message names the field, the expected value and the actual value."""

    def __init__(self, path: str, expected: str, got: Any) -> None:
        """Names the field.

        Args:
            path: Names and indices, separated by dots, such as `subtasks.0.steps`; empty for the whole object.
            expected: The expected value.
            got: The actual value.
        """
        where = f"field '{path}'" if path else "the whole"
        super().__init__(f"{where}: expected {expected}, got {shortened(got)}")
        self.path = path


def shortened(value: Any) -> str:
    """A value as a short ASCII string."""
    text = ascii(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


def read_as(kind: type[_Read], values: Any, free_texts: Collection[str] = ()) -> _Read:
    """Makes an instance of a dataclass from the result of `json.loads`.

    Args:
        kind: The dataclass.
        values: A mapping of its fields.
        free_texts: Fields that hold a string or None. The string may quote bytes that are not Unicode.

    Raises:
        InvalidFieldError: Fields are missing, of another type or out of range. The message names the first few.
    """
    from pydantic import ValidationError

    if not isinstance(values, Mapping):
        raise InvalidFieldError("", "an object", values)
    texts = {name: values[name] for name in free_texts if values.get(name) is not None}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise InvalidFieldError(name, "a text or null", text)
    # pydantic makes tuples and dataclasses from JSON lists and objects only when it reads the text itself.
    rest = {name: "" if name in texts else value for name, value in values.items()}
    try:
        text = json.dumps(rest, allow_nan=False)
    except ValueError:
        _require_json_values(rest)
        raise
    try:
        # mypy thinks that the class is not hashable, because its instances may not be.
        read: _Read = _adapter(cast(Hashable, kind)).validate_json(text, strict=True)
    except ValidationError as error:
        _require_json_values(rest)
        raise _as_invalid_field(error, values) from error
    for name, free in texts.items():
        object.__setattr__(read, name, free)  # it was made here, and nothing else has it yet
    return read


@cache
def _adapter(kind: Hashable) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(cast(type[Any], kind))


def _require_json_values(values: Any) -> None:
    """Raises an error for infinite numbers, NaN and lone surrogates, which standard JSON does not allow."""
    for path, value in _leaves(values, ()):
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidFieldError(".".join(path), "a finite number", value)
        if isinstance(value, str) and not _is_unicode(value):
            raise InvalidFieldError(".".join(path), "text in Unicode, without lone surrogates", value)


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All strings and numbers, including keys, each with its path."""
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
    """The first field that pydantic rejects, in our words. For a union, all allowed types."""
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
    """The part of a location that exists in the values. Pydantic adds the member of a union that it tried."""
    path: list[str] = []
    for step in location:
        try:
            values = values[step]
        except (LookupError, TypeError):
            break
        path.append(str(step))
    return tuple(path)


def _in_words(message: str) -> str:
    """Pydantic's message, in a form that fits after "expected"."""
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
