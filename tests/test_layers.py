"""The house: which way imports point, what is printed where, and that nothing is left out of the wheel."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
ROOMS = ("envs", "policies", "harness")
MAY_IMPORT = {"envs": {"envs"}, "policies": {"envs", "policies"}, "harness": {"envs", "policies", "harness"}}
FILES = [file for room in ROOMS for file in sorted((REPOSITORY / room).rglob("*.py"))]


def names_imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which room they reach into"
            yield node.module or ""


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_imports_point_one_way(file: Path):
    room = file.relative_to(REPOSITORY).parts[0]
    for name in names_imported(ast.parse(file.read_text("utf-8"))):
        parts = name.split(".")
        assert parts[0] not in ROOMS, f"{file} imports {name}: write calvinbench.{name}"
        if parts[0] == "calvinbench":
            assert parts[1] in MAY_IMPORT[room], f"{room} must not import {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_only_the_command_line_prints_and_exits(file: Path):
    console = REPOSITORY / "harness" / "command_line" / "console.py"
    if REPOSITORY / "harness" / "verbs" in file.parents or file in (REPOSITORY / "harness" / "cli.py", console):
        return
    calls = [node.func for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]
    assert not [call for call in calls if isinstance(call, ast.Attribute) and ast.unparse(call) == "sys.exit"]


def test_every_folder_with_code_is_in_the_wheel():
    packages = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {file.parent.relative_to(REPOSITORY) for file in FILES}
    assert sorted(packages) == sorted("calvinbench." + ".".join(folder.parts) for folder in folders)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_refuses_to_be_imported_under_another_name(room: str):
    done = subprocess.run(
        [sys.executable, "-c", f"import {room}"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"expected to be imported as 'calvinbench.{room}'" in done.stderr


def test_the_command_line_starts_without_anything_heavy():
    script = "import sys, calvinbench.harness.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "pybullet", "pandas", "scipy", "matplotlib", "ray"}
    assert not heavy & set(done.stdout.split())
