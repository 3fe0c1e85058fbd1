"""The code, the versions and the machine that made a record."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from calvinbench.harness import clock
from calvinbench.harness.records.typed_reading import Name, Size

PACKAGES = ("calvinbench", "torch", "transformers", "pybullet", "gymnasium", "numpy")


@dataclass(frozen=True, slots=True)
class Session:
    """One call that worked on a run.

    Attributes:
        started: Date and time, UTC.
        worlds: Number of worlds stepped at once.
        python: Python's version.
        versions: Versions of the relevant packages; None for a package that is not installed.
        commit: Commit of the checkout that the code ran from, with `+changes` if files differ; None without a checkout.
        platform: Operating system and machine.
        hardware: Processors and, if torch uses one, the accelerator.
    """

    started: Name
    worlds: Size
    python: Name
    versions: dict[str, str | None]
    commit: str | None
    platform: Name
    hardware: Name


def this_session(worlds: int) -> Session:
    """Describes the current session."""
    return Session(
        started=clock.timestamp(),
        worlds=worlds,
        python=platform.python_version(),
        versions={package: package_version(package) for package in PACKAGES},
        commit=checkout_commit(),
        platform=platform.platform(),
        hardware=_hardware(),
    )


def package_version(package: str) -> str | None:
    """The installed version of a distribution; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def checkout_commit() -> str | None:
    """The commit of the checkout that this code runs from, see `Session.commit`; None without a checkout."""
    return _commit(Path(__file__).resolve().parents[2])


def _commit(root: Path) -> str | None:
    """The commit of the checkout at `root`; None if `root` is not the top folder of a checkout."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None

    def ask(*words: str) -> str | None:
        answer = subprocess.run([git, "-C", str(root), *words], capture_output=True, text=True, check=False)  # noqa: S603
        return answer.stdout.strip() if answer.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    return f"{commit}+changes" if commit and ask("status", "--porcelain", "--untracked-files=no") else commit


def _hardware() -> str:
    hardware = f"{platform.machine()}, {os.cpu_count()} processors"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        hardware += f", {torch.cuda.get_device_name()}"
    return hardware
