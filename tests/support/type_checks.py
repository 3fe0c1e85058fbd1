"""Checks the types and shapes in `calvinbench`'s annotations while testing: an import hook decorates what it imports.

jaxtyping has such a hook. This one checks the same for less time:

- beartype checks a function itself, once. jaxtyping's hook checks the arguments twice and binds them to the function's
  signature at each call, which takes most of the time of a step of the play table.
- A function without arrays in its annotations needs no record of its axes.
- jaxtyping's hook changes where Python looks for compiled files while a module runs, and so for torch and all else that
  the module imports. Each process then compiles thousands of files anew, which takes 10 seconds.
"""

import ast
import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import SourceFileLoader
from typing import Any, ForwardRef, Literal, get_args, get_origin

import jaxtyping
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeException
from jaxtyping import AbstractArray, jaxtyped

PACKAGE = "calvinbench"
_check = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))
_NAME = "_checked_while_testing"
# Frames of a file whose name starts with "<" are left out of the tracebacks that users are shown.
_WRAPPERS = compile(
    """
def plain(function, check):
    checked = None
    def wrapper(*args, **kwargs):
        nonlocal checked
        if config.jaxtyping_disable:
            return function(*args, **kwargs)
        checked = checked or check(function)
        return checked(*args, **kwargs)
    return wraps(function)(wrapper)

def with_axes(function, check):
    checked = None
    def wrapper(*args, **kwargs):
        nonlocal checked
        if config.jaxtyping_disable:
            return function(*args, **kwargs)
        checked = checked or check(function)
        with jaxtyped("context"):
            return checked(*args, **kwargs)
    return wraps(function)(wrapper)
""",
    "<checked while testing>",
    "exec",
)
_made: dict[str, Any] = {"config": jaxtyping.config, "jaxtyped": jaxtyped, "wraps": functools.wraps}
exec(_WRAPPERS, _made)


def install() -> None:
    """Modules of `calvinbench` that are imported from now on are checked."""
    assert not [name for name in sys.modules if name.startswith(PACKAGE + ".")], "imported before it could be checked"
    sys.meta_path.insert(0, _Finder())


def checked(decorated: Any) -> Any:
    """A function or descriptor whose arguments and result are checked, or a dataclass whose fields are."""
    if inspect.isclass(decorated):
        made = vars(decorated).get("__init__")
        if dataclasses.is_dataclass(decorated) and made is not None and not hasattr(made, "__wrapped__"):
            decorated.__init__ = checked(made)  # type: ignore[misc]
        return decorated
    if not inspect.isfunction(decorated):
        return jaxtyped(decorated, typechecker=_check)
    if not decorated.__annotations__:
        return decorated
    hints = list(_hints(decorated))
    arrays = [hint for hint in hints if inspect.isclass(hint) and issubclass(hint, AbstractArray)]
    # jaxtyping leaves out names that are not known, and fills arguments in where an axis is written "{count}".
    if any(isinstance(hint, str | ForwardRef) for hint in hints) or any("{" in array.dim_str for array in arrays):
        return jaxtyped(decorated, typechecker=_check)
    return _made["with_axes" if arrays else "plain"](decorated, _checked_by_beartype)


def _checked_by_beartype(function: Callable[..., Any]) -> Any:
    """Is called at the function's first call: beartype writes code for each function, and most are never called."""
    try:
        return _check(function)
    except BeartypeException:  # such as the default of a dataclass's field that a factory makes
        return jaxtyped(function, typechecker=_check)


def _hints(function: Callable[..., Any]) -> Iterator[Any]:
    """Annotations and their parts."""
    pending = list(function.__annotations__.values())
    while pending:
        hint = pending.pop()
        yield hint
        if isinstance(hint, list | tuple):  # the arguments of a Callable
            pending.extend(hint)
        elif get_origin(hint) is not Literal:
            pending.extend(get_args(hint))


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.get_data(self.path), self.path)

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> Any:  # type: ignore[override]
        tree = ast.parse(data, path)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                decorator = ast.copy_location(ast.Name(_NAME, ast.Load()), node)
                # Other decorators see the checked function; a class is checked when it is a dataclass already.
                place = 0 if isinstance(node, ast.ClassDef) else len(node.decorator_list)
                node.decorator_list.insert(place, decorator)
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)

    def exec_module(self, module: Any) -> None:
        setattr(module, _NAME, checked)
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if not fullname.startswith(PACKAGE + "."):
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if isinstance(spec.loader, SourceFileLoader):
                    spec.loader = _Loader(spec.loader.name, spec.loader.path)
                return spec
        return None
