"""Clones CALVIN's repositories at the revisions that calvinbench knows. calvin_env is not on PyPI."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from calvinbench.envs.names import require_name
from calvinbench.envs.scenes.calvin_checkout import (
    CALVIN_ENV_VARIABLE,
    CALVIN_VARIABLE,
    FOLLOWED_REVISION,
    SUBMODULE_REVISION,
    VALIDATION_SENTENCES,
    default_folder,
    find_calvin_env,
)
from calvinbench.envs.scenes.git_revision import head_commit
from calvinbench.envs.system.atomic_write import move_into_place
from calvinbench.envs.upstream.simulator import REQUIREMENTS
from calvinbench.harness.errors import RunFailedError

CALVIN_ENV_URL = "https://github.com/mees/calvin_env.git"
CALVIN_URL = "https://github.com/mees/calvin.git"
CALVIN_ENV_COMMITS: Mapping[str, str] = MappingProxyType(
    {
        FOLLOWED_REVISION: "797142c588c21e76717268b7b430958dbd13bf48",
        SUBMODULE_REVISION: "1431a46bd36bde5903fb6345e68b5ccc30def666",
    }
)
CALVIN_COMMIT = "fa03f01f19c65920e18cf37398a9ce859274af76"


class InstallError(RunFailedError):
    """A checkout could not be made. No incomplete folder is left behind."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout.

    Attributes:
        path: Its folder.
        commit: The commit that is checked out.
        was_there: Whether it existed before.
    """

    path: str
    commit: str
    was_there: bool


@dataclass(frozen=True, slots=True)
class Installed:
    """Both checkouts.

    Attributes:
        calvin_env: The simulator's assets, configuration and source.
        calvin: The sentences.
    """

    calvin_env: Checkout
    calvin: Checkout

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables by which calvinbench finds them."""
        return {CALVIN_ENV_VARIABLE: self.calvin_env.path, CALVIN_VARIABLE: self.calvin.path}

    @property
    def pip_command(self) -> str:
        """Installs the packages that calvin_env's own simulator needs. Our world does not need them."""
        return f"pip install {' '.join(REQUIREMENTS)}"


def install_calvin(
    folder: Path | None = None,
    revision: str = FOLLOWED_REVISION,
    calvin_env_url: str = CALVIN_ENV_URL,
    calvin_url: str = CALVIN_URL,
    calvin_env_commit: str | None = None,
    calvin_commit: str = CALVIN_COMMIT,
) -> Installed:
    """Clones calvin_env and calvin into `folder/calvin_env` and `folder/calvin`. Existing checkouts are checked.

    Args:
        folder: None for `default_folder()`.
        revision: Of calvin_env, one of `CALVIN_ENV_COMMITS`.
        calvin_env_url: Where git finds calvin_env.
        calvin_url: Where git finds calvin.
        calvin_env_commit: A commit instead of that of `revision`.
        calvin_commit: The commit of calvin.

    Raises:
        UnknownNameError: There is no such revision.
        InstallError: There is no git, a clone failed, or a folder holds something else.
        CheckoutError: An existing checkout is incomplete.
    """
    commit = calvin_env_commit or CALVIN_ENV_COMMITS[require_name(revision, tuple(CALVIN_ENV_COMMITS), "revision")]
    folder = (folder or default_folder()).expanduser().resolve()
    calvin_env = _provide(folder / "calvin_env", calvin_env_url, commit, "--calvin-env-url", _require_calvin_env)
    calvin = _provide(folder / "calvin", calvin_url, calvin_commit, "--calvin-url", _require_calvin)
    return Installed(calvin_env, calvin)


def _provide(path: Path, url: str, commit: str, flag: str, require_whole: Callable[[Path], None]) -> Checkout:
    """The existing checkout at `path`, or a new one, which is moved there when it is complete."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        found = head_commit(path) if path.is_dir() else None
        if found != commit:
            raise InstallError(
                f"expected no '{path}' yet, or a checkout at {commit[:7]}, but "
                f"{f'it is at {found[:7]}' if found else 'it is no git checkout'}. "
                "Choose another folder, or move this one away."
            )
        require_whole(path)
        return Checkout(str(path), commit, was_there=True)
    missing = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as temporary:
            clone = Path(temporary) / path.name
            _git("clone", "--quiet", "--no-checkout", url, str(clone), flag=flag, url=url)
            _git("-C", str(clone), "checkout", "--quiet", commit, flag=flag, url=url)
            try:
                require_whole(clone)
            except ValueError as error:
                raise InstallError(
                    f"The clone of {url} at {commit[:7]} is not usable and was deleted: {error}"
                ) from error
            move_into_place(clone, path)
    except OSError as error:
        raise InstallError(
            f"expected to write to '{path}', got: {error.strerror or error}. Choose another folder."
        ) from error
    finally:
        if not path.exists():
            for folder in missing:
                _remove_if_empty(folder)
    return Checkout(str(path), commit, was_there=False)


def _git(*words: str, flag: str, url: str) -> None:
    """Runs git without questions to the user."""
    git = shutil.which("git")
    if git is None:
        raise InstallError(
            "expected the program git, found none. Install it (apt install git), or clone on another machine and copy "
            f"the folders here; then set {CALVIN_ENV_VARIABLE} and {CALVIN_VARIABLE} to them."
        )
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    done = subprocess.run(  # noqa: S603
        [git, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=environment
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"status {done.returncode}"
        raise InstallError(
            f"git could not fetch {url}: {said}. Check the network, or give another address by {flag} URL. No "
            "incomplete folder was left behind."
        )


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _require_calvin_env(root: Path) -> None:
    """Checks every file of every scene."""
    from calvinbench.envs.scenes.loading import load_scene

    for scene in "ABCD":
        load_scene(scene, find_calvin_env(root).root)


def _require_calvin(root: Path) -> None:
    if not (root / VALIDATION_SENTENCES).is_file():
        raise InstallError(f"expected {VALIDATION_SENTENCES} in the checkout of calvin at '{root}', found none.")
