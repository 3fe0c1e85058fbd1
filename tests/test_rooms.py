"""The rooms: how many modules stand side by side, and that imports between rooms and modules make no circle."""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from support import REPOSITORY

PARTS = ("envs", "policies", "harness")
MAX_MODULES = 17
"""In one folder: `harness/verbs` has a module a command; all others have at most 16."""


def module_name(file: Path) -> str:
    """The module of a file, below `calvinbench`."""
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for part in PARTS for file in sorted((REPOSITORY / part).rglob("*.py"))}


def imported_modules(file: Path) -> Iterator[str]:
    """Modules of ours that a file imports, inside functions too; not what type checkers alone import."""
    pending: list[ast.AST] = [ast.parse(file.read_text("utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        pending.extend(ast.iter_child_nodes(node))
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
        for name in names:
            own = name.removeprefix("calvinbench.")
            if own != name and own in FILES:
                yield own
                break


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """The modules of ours that each module imports."""
    return {name: set(imported_modules(file)) - {name} for name, file in FILES.items()}


def room_of(module: str) -> str:
    """The folder below `envs`, `policies` or `harness`; a module that stands there itself is a room of its own."""
    return ".".join(module.split(".")[:2])


def require_no_circle(graph: Mapping[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports make a circle: {' -> '.join(error.args[1])}")


def test_imports_between_modules_make_no_circle(imports: dict[str, set[str]]):
    leaves = {name: {other for other in found if other not in PARTS} for name, found in imports.items()}
    require_no_circle({name: found for name, found in leaves.items() if name not in PARTS})


def test_imports_between_rooms_make_no_circle(imports: dict[str, set[str]]):
    rooms: dict[str, set[str]] = {}
    for name, found in imports.items():
        if name not in PARTS:  # what the parts' `__init__` re-export
            own = room_of(name)
            rooms.setdefault(own, set()).update({room_of(other) for other in found if other not in PARTS} - {own})
    require_no_circle(rooms)


def test_no_folder_has_many_modules_side_by_side():
    counts = Counter(file.parent for file in FILES.values() if file.name != "__init__.py")
    assert max(counts.values()) <= MAX_MODULES, counts.most_common(3)


def test_every_room_says_what_it_is_for():
    for name, file in FILES.items():
        if file.name == "__init__.py" and name.count("."):
            said = ast.get_docstring(ast.parse(file.read_text("utf-8")))
            assert len(said or "") > 20, file
