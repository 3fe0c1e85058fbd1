"""Finding CALVIN's own files on this machine: a checkout of `calvin_env`, and one of `calvin` for its sentences.

This project contains none of CALVIN's files. It reads them where the user has them.
"""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from platformdirs import user_data_path

from calvinbench.envs.scenes.git_revision import head_commit

CALVIN_ENV_VARIABLE = "CALVIN_ENV_ROOT"
CALVIN_VARIABLE = "CALVIN_ROOT"
FOLLOWED_REVISION = "797142c"
"""The revision of calvin_env that our world follows."""
SUBMODULE_REVISION = "1431a46"
"""The revision that a clone of calvin with submodules has. Its led ignores the button's first press."""
INSTALL = "`calvinbench install-calvin` clones the revisions that calvinbench knows"
VALIDATION_SENTENCES = Path("calvin_models/conf/annotations/new_playtable_validation.yaml")
_REVISION_DIGITS = 7


class CheckoutError(ValueError):
    """A checkout of CALVIN is missing or incomplete, or a file in it cannot be read."""


class CheckoutNotFoundError(CheckoutError):
    """No checkout was given, and none was found."""


@dataclass(frozen=True, slots=True)
class CalvinEnv:
    """A checkout of calvin_env.

    Attributes:
        root: The folder that holds `conf/` and `data/`.
        revision: The first seven digits of its commit. Without git's files, the commit is found from the source; None
            if that fails too.
    """

    root: Path
    revision: str | None

    @property
    def data(self) -> Path:
        """The folder of URDF files, meshes and textures."""
        return self.root / "data"

    def __str__(self) -> str:
        return f"{self.root} ({self.revision or 'revision unknown: it has no source'})"


def find_calvin_env(calvin_env: str | Path | None = None) -> CalvinEnv:
    """The checkout of calvin_env to use: the given one, CALVIN_ENV_ROOT, the installed package, or install-calvin's.

    Args:
        calvin_env: A checkout of calvin_env, or one of calvin that holds calvin_env.

    Raises:
        CheckoutNotFoundError: There is none.
        CheckoutError: The checkout is incomplete.
    """
    named = calvin_env or os.environ.get(CALVIN_ENV_VARIABLE)
    if named:
        root = _require_calvin_env(Path(named).expanduser().absolute())
        return CalvinEnv(root, calvin_env_revision(root))
    installed = _installed_roots()
    for root in (*installed, default_folder() / "calvin_env"):
        if _is_calvin_env(root):
            return CalvinEnv(root, calvin_env_revision(root))
    bare = f" (the installed package in '{installed[0]}' came without `conf/` and `data/`)" if installed else ""
    raise CheckoutNotFoundError(
        f"expected a checkout of calvin_env, found none{bare}. Say where it is by --calvin-env DIR (calvin_env=... in "
        f"Python), or by the environment variable {CALVIN_ENV_VARIABLE}, or install it by `pip install -e` from its "
        f"folder. {INSTALL}."
    )


def default_folder() -> Path:
    """Where `calvinbench install-calvin` puts its checkouts by default: the user's data folder."""
    return user_data_path("calvinbench")


def find_calvin(calvin: str | Path | None = None, calvin_env: str | Path | None = None) -> Path | None:
    """The checkout of calvin with the sentences: the given one, else CALVIN_ROOT, else one near calvin_env.

    Near means the folder that contains calvin_env, or a folder `calvin` beside calvin_env.

    Args:
        calvin: A checkout of calvin.
        calvin_env: As in `find_calvin_env`.

    Returns:
        Its top folder; None if none was given and none is found.

    Raises:
        CheckoutError: A given folder is not a checkout of calvin.
    """
    named = calvin or os.environ.get(CALVIN_VARIABLE)
    if named:
        root = Path(named).expanduser()
        if not (root / VALIDATION_SENTENCES).is_file():
            raise CheckoutError(
                f"expected a checkout of calvin at '{root}', but it lacks {VALIDATION_SENTENCES}. "
                f"Name the folder that contains `calvin_models/`. {INSTALL}."
            )
        return root
    try:
        above = find_calvin_env(calvin_env).root.resolve().parent
    except CheckoutError:
        return None
    return next((root for root in (above, above / "calvin") if (root / VALIDATION_SENTENCES).is_file()), None)


def calvin_env_revision(root: Path) -> str | None:
    """The revision of calvin_env in a folder, from git's files or else from its source; see `CalvinEnv.revision`."""
    commit = head_commit(root)
    if commit is not None:
        return commit[:_REVISION_DIGITS]
    try:
        button = (root / "calvin_env" / "scene" / "objects" / "button.py").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    # Only from 797142c on does a reset ask the light whether the button is on.
    return FOLLOWED_REVISION if "light.get_state()" in button else SUBMODULE_REVISION


def _is_calvin_env(folder: Path) -> bool:
    return (folder / "conf" / "scene").is_dir() and (folder / "data").is_dir()


def _installed_roots() -> tuple[Path, ...]:
    """Possible folders with `conf/` and `data/` of the installed package, which is not imported."""
    try:
        spec = find_spec("calvin_env")
    except (ImportError, ValueError):
        return ()
    packages = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    # A folder calvin_env/ in the current folder is also found as a package: then it is the checkout itself.
    return tuple(root for package in packages for root in (package.parent, package))


def _require_calvin_env(folder: Path) -> Path:
    """The root of a given checkout; raises an error that says what is wrong with it."""
    if not folder.is_dir():
        raise CheckoutError(f"expected a checkout of calvin_env at '{folder}', but there is no such folder. {INSTALL}.")
    for root in (folder, folder / "calvin_env"):
        if _is_calvin_env(root):
            return root
    if (folder / "calvin_models").is_dir():
        raise CheckoutError(
            f"expected calvin_env inside the checkout of calvin at '{folder}', but '{folder / 'calvin_env'}' is empty "
            f"or half downloaded. Run `git -C {folder} submodule update --init calvin_env`, or: {INSTALL}."
        )
    lacks = [part for part in ("conf/scene", "data") if not (folder / part).is_dir()]
    raise CheckoutError(
        f"expected a checkout of calvin_env at '{folder}', but it lacks {' and '.join(lacks)}. Name the folder that "
        f"contains `conf/` and `data/`. If this is that folder, the download is incomplete. {INSTALL}."
    )
