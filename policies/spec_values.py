"""One value of a policy spec: from its text to the type that a settings dataclass declares for it."""

import ast
import math
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Unit

from calvinbench.envs.names import require_name
from calvinbench.policies.spec import PolicySpecError


def read_value(key: str, annotation: Any, text: str) -> Any:
    """Reads one value.

    Args:
        key: The setting's name, for messages.
        annotation: The setting's type: `bool`, `int`, `float`, `str`, `Path`, `tuple[str, ...]` (joined by `+`), a
            `Literal`, a `StrEnum`, or a class with a method `parse`. `X | None` reads an X, because None is said by
            leaving the setting out. `Annotated` may add limits (`Ge`, `Gt`, `Le`) and a `Unit`.
        text: The value as the spec has it.

    Raises:
        PolicySpecError: The text is not a value of this type, or is outside its limits.
        UnknownNameError: The text is not one of the choices. The message says which was probably meant.
    """
    kind, limits = _plain_type(annotation)
    if kind in _READERS:
        return _READERS[kind](key, text, limits)
    if get_origin(kind) is Literal:
        return require_name(text, get_args(kind), _words(key))
    if get_origin(kind) is tuple:
        return tuple(text.split("+"))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(require_name(text, list(kind), _words(kind.__name__)))
    return kind.parse(text) if hasattr(kind, "parse") else kind(text)


def parse_literal(text: str) -> int | float | bool | str | None:
    """Reads a setting for a user's own class. Only that class knows which type it expects.

    Numbers and `None` are read as Python reads them, `true` and `false` in any case. Everything else stays text, such
    as `007` and `/a/b`.
    """
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
    return value if value is None or isinstance(value, (int, float)) else text


def _plain_type(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type without `None` and `Annotated`, and what `Annotated` says of it."""
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (kind for kind in get_args(annotation) if kind is not type(None))
    if get_origin(annotation) is Annotated:
        kind, *limits = get_args(annotation)
        return kind, tuple(limits)
    return annotation, ()


def _words(name: str) -> str:
    """`chunk_rule` and `ActionConvention` as words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()


def _read_switch(key: str, text: str, limits: tuple[Any, ...]) -> bool:
    if text not in ("true", "false"):
        raise PolicySpecError(f"expected 'true' or 'false' for setting '{key}', got '{text}'.")
    return text == "true"


def _read_integer(key: str, text: str, limits: tuple[Any, ...]) -> int:
    try:
        number = int(text)
    except ValueError:
        raise PolicySpecError(f"expected a whole number for setting '{key}', got '{text}'.") from None
    for limit in limits:
        if isinstance(limit, Ge) and not limit.ge <= number:  # type: ignore[operator]
            raise PolicySpecError(f"expected at least {limit.ge} for setting '{key}', got {number}.")
        if isinstance(limit, Le) and not number <= limit.le:  # type: ignore[operator]
            raise PolicySpecError(f"expected at most {limit.le} for setting '{key}', got {number}.")
    return number


def _read_number(key: str, text: str, limits: tuple[Any, ...]) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    above: list[Any] = [limit.gt for limit in limits if isinstance(limit, Gt)]
    if not math.isfinite(number) or not all(number > least for least in above):
        unit = "".join(f" of {limit.unit}" for limit in limits if isinstance(limit, Unit))
        least = "".join(f" above {limit}" for limit in above)
        raise PolicySpecError(f"expected a number{unit}{least} for setting '{key}', got '{text}'.")
    return number


_READERS: Mapping[type, Callable[[str, str, tuple[Any, ...]], Any]] = MappingProxyType(
    {bool: _read_switch, int: _read_integer, float: _read_number}
)
