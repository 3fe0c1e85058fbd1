"""Suites as YAML files: the ones that ship, and a user's own. A key is the name of a setting."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from calvinbench.envs.names import UnknownNameError, require_name
from calvinbench.harness.suite.declared_policy import read_policies
from calvinbench.harness.suite.setting import NamedSetting, settings_of
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.harness.suite.suite import ALL_TASKS, Suite

STUDY_FOLDER = "docs/study"
"""In the repository: suites of checkpoints that must be trained first, which therefore do not ship."""
STUDY_SUITES = ("ablations", "backbones", "history", "seeds")
_SUITES = "calvinbench.harness.suite.suites"


def shipped_suites() -> tuple[str, ...]:
    """Names of the suites that come with the package."""
    return tuple(
        sorted(entry.name.removesuffix(".yaml") for entry in files(_SUITES).iterdir() if entry.name.endswith(".yaml"))
    )


def load_suite(name_or_path: str) -> Suite:
    """Reads a suite by the name of a shipped one or by the path of a YAML file.

    Raises:
        UnknownNameError: There is no such suite, or the file has a key that no suite has.
        ValueError: The file is not a mapping, or a value is out of range.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return parse_suite(path.stem, _read(path), str(path))
    if name_or_path in STUDY_SUITES:
        raise UnknownNameError(
            f"The suite '{name_or_path}' does not ship, because it runs checkpoints that must be trained first. It is "
            f"the file {STUDY_FOLDER}/{name_or_path}.yaml in calvinbench's repository; docs/study/backbones.sh there "
            "trains what it runs. "
            f"Suites that ship: {', '.join(shipped_suites())}."
        )
    if path.is_dir():
        raise ValueError(
            f"expected a suite's name or YAML file, got the folder '{path}'. Suites that ship: "
            f"{', '.join(shipped_suites())}. For a table of the runs in a folder: calvinbench report {path}"
        )
    name = require_name(name_or_path, shipped_suites(), "suite")
    return parse_suite(name, files(_SUITES).joinpath(f"{name}.yaml").read_text("utf-8"), name)


def _read(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"expected a suite's file at '{path}', found none. Shipped: {', '.join(shipped_suites())}.")
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"expected YAML in UTF-8 in suite '{path}', got other bytes: {error}.") from error


def parse_suite(name: str, text: str, origin: str) -> Suite:
    """Makes a suite of YAML text.

    Args:
        name: The suite's name.
        text: A mapping of settings, as `RunSettings` and `Suite` declare them, and of `policy` (see `read_policies`).
        origin: Where the text is from, for messages.

    Raises:
        UnknownNameError: A key is not the name of a setting.
        ValueError: The text is not such a mapping, or a value is out of range.
    """
    known = {named.name: named for named in (*settings_of(RunSettings), *settings_of(Suite))}
    values = dict(_mapping(text, origin))
    for key in values:
        require_name(str(key), ("policy", *known), f"key of suite '{origin}':")
    try:
        listed = read_policies(values.pop("policy", ()), origin)
        settings = {key: _value(known[key], value) for key, value in values.items()}
        return Suite.of(name=name, policy=listed.specs, declared=listed.declared, **settings)
    except UnknownNameError:
        raise
    except ValueError as error:
        raise ValueError(f"Suite '{origin}': {error}") from error


def _mapping(text: str, origin: str) -> Mapping[Any, Any]:
    import yaml

    from calvinbench.envs.system.yaml_text import kind_in_words, read_yaml

    try:
        values = read_yaml(text)
    except yaml.YAMLError as error:
        raise ValueError(f"expected YAML in suite '{origin}', got: {error}") from error
    if not isinstance(values, Mapping):
        raise ValueError(f"expected a mapping of settings in suite '{origin}', got {kind_in_words(values)}.")
    return values


def _value(named: NamedSetting, value: Any) -> Any:
    """A setting's value from YAML, which has lists for tuples, text for paths and 1 for 1.0."""
    if named.is_many:
        return _names(named.name, value)
    if named.setting.varies and isinstance(value, list):
        return tuple(value)
    if named.kind is Path:
        if not isinstance(value, str) or not value:
            raise ValueError(f"expected {named.name} to be {named.setting.text}, got {value!r}.")
        return Path(value)
    if named.kind is float:
        named.require(value)
        return None if value is None else float(value)
    return value


def _names(key: str, value: Any) -> tuple[str, ...]:
    """A list of names; `all` may stand alone."""
    if value == ALL_TASKS:
        return (ALL_TASKS,)
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"expected {key} to be all or a list of names, got {value!r}.")
    return tuple(value)
