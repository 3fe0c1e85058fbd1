"""Learned policies that come with the package. Each is the folder of a checkpoint, `checkpoint:NAME`."""

from importlib.resources import files
from pathlib import Path


def shipped_policies() -> tuple[str, ...]:
    """Names of the policies that come with the package."""
    return tuple(sorted(entry.name for entry in _folder().iterdir() if (entry / "policy.json").is_file()))


def shipped_folder(name: str) -> Path:
    """The folder of a policy that comes with the package."""
    return _folder() / name


def _folder() -> Path:
    return Path(str(files("calvinbench.policies.shipped")))
