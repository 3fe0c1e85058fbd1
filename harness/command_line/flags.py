"""The flags of a command, read from the fields of its dataclass."""

import ast
import inspect
import sys
from dataclasses import MISSING, dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

_POSITIONAL = get_args(tyro.conf.Positional[int])[1]
_APPENDED = get_args(tyro.conf.UseAppendAction[tuple[int, ...]])[1]
_METAVARS = {int: "N", float: "X", Path: "PATH", str: "TEXT"}


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag, or a positional argument.

    Attributes:
        field: Name of the field.
        kind: Type of a value: `bool` (a switch, which takes no value), `int`, `float`, `str` or `Path`.
        choices: The allowed values; empty for any value of its kind.
        is_positional: Whether it is given without a name.
        is_many: Whether it takes several values.
        is_repeatable: Whether it may be given again, for one more value.
        is_required: Whether a call needs it.
        metavar: The placeholder for its value in the help.
        help: What it does.
        default: The default as text, in brackets; empty for none.
    """

    field: str
    kind: type
    choices: tuple[Any, ...]
    is_positional: bool
    is_many: bool
    is_repeatable: bool
    is_required: bool
    metavar: str
    help: str
    default: str

    @property
    def name(self) -> str:
        """The flag as typed, such as `--max-steps`, or `--for` of `for_`; for a positional argument, its metavar."""
        return self.metavar if self.is_positional else f"--{self.field.rstrip('_').replace('_', '-')}"


def flags_of(verb: type) -> tuple[Flag, ...]:
    """The flags of a verb's dataclass, in order of its fields."""
    hints, texts = get_type_hints(verb, include_extras=True), _field_docstrings(verb)
    return tuple(_flag(each, hints[each.name], texts.get(each.name, "")) for each in fields(verb))


def _flag(field: Any, hint: Any, text: str) -> Flag:
    kind, extras = _without_annotations(hint)
    kind, is_many, choices = _kind(kind)
    metavar = next(filter(None, (getattr(extra, "metavar", None) for extra in extras)), None)
    behavior = next(
        (each for each in (getattr(e, "help_behavior_hint", None) for e in extras) if each is not None), None
    )
    text = text or next(filter(None, (getattr(extra, "help", None) for extra in extras)), "")
    is_positional = _POSITIONAL in extras
    is_required = field.default is MISSING and field.default_factory is MISSING
    if metavar is None:
        metavar = f"{{{','.join(map(str, choices))}}}" if choices else _METAVARS.get(kind, field.name.upper())
    return Flag(
        field=field.name,
        kind=kind,
        choices=choices,
        is_positional=is_positional,
        is_many=is_many,
        is_repeatable=_APPENDED in extras,
        is_required=is_required,
        metavar=metavar,
        help=" ".join(text.split()),
        default=behavior
        if isinstance(behavior, str)
        else _default_in_words(field.default, is_required and not is_positional),
    )


def _without_annotations(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type without `Annotated`, and all annotations."""
    extras: tuple[Any, ...] = ()
    while get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        extras += tuple(more)
    return hint, extras


def _kind(hint: Any) -> tuple[type, bool, tuple[Any, ...]]:
    """Type of a value, whether there are several, and the choices."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
    is_many = get_origin(hint) is tuple
    if is_many:
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        return type(choices[0]), is_many, choices
    return hint, is_many, ()


def _default_in_words(default: Any, is_required: bool) -> str:
    if is_required:
        return "(required)"
    is_told = default is not MISSING and default is not None and default != () and not isinstance(default, bool)
    return f"(default: {default})" if is_told else ""


def _field_docstrings(verb: type) -> dict[str, str]:
    """The strings below the fields in the class's source, by field."""
    tree = ast.parse(inspect.getsource(sys.modules[verb.__module__]))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == verb.__name__)
    return {
        node.target.id: below.value.value
        for node, below in pairwise(body)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }
