"""Makes calvin_env's own `PlayTableSimEnv`, configured as in CALVIN's evaluation, from the files of its checkout.

The configuration is composed here, without hydra. hydra, which calvin_env needs anyway, only instantiates the objects.
"""

import hashlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from calvinbench.envs.bodies.bullet import is_first_simulation_free
from calvinbench.envs.scenes.calvin_checkout import (
    FOLLOWED_REVISION,
    INSTALL,
    SUBMODULE_REVISION,
    CalvinEnv,
    find_calvin_env,
)
from calvinbench.envs.scenes.git_revision import head_commit
from calvinbench.envs.system.redirection import STDOUT, redirected

SOURCE_DIGESTS: Mapping[str, str] = MappingProxyType(
    {
        SUBMODULE_REVISION: "b113778edbfd5d59679a58fdd8a34968222f969a32d2c2c79b9442567d013cc0",
        FOLLOWED_REVISION: "ad7bfc990de9f318da0baa7cbf7b32080b95cf20b93ebab6b63808158fd577a9",
    }
)
"""`source_digest` of each revision that we know."""
REQUIREMENTS = (
    "omegaconf",
    "hydra-core",
    "gym",
    "numpy-quaternion",
    "opencv-python-headless",
    "gitpython",
    "numba",
    "scipy",
    "rich",
)
"""Packages that calvin_env imports besides numpy and pybullet, by their names on PyPI. Only 1431a46 imports `rich`."""
_ENTRY = "calvin_env.envs.play_table_env"
_ROBOT_FILES = ("panda", "panda_longer_finger")
"""Settings of the second file take precedence, as the file's own list of defaults says."""


def source_digest(root: Path) -> str:
    """SHA-256 of the source code that a simulation runs. Empty files and line ends do not affect it."""
    sha = hashlib.sha256()
    for pattern in ("camera/*.py", "envs/play_table_env.py", "robot/*.py", "scene/**/*.py"):
        for file in sorted((root / "calvin_env").glob(pattern)):
            text = file.read_text(encoding="utf-8", errors="replace")
            if text:
                sha.update(f"{file.relative_to(root).as_posix()}\n{text}".encode())
    return sha.hexdigest()


class UpstreamError(RuntimeError):
    """calvin_env's own simulator cannot be used. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class UpstreamPackage:
    """An imported calvin_env.

    Attributes:
        checkout: The checkout with its code, configuration and meshes.
        entry: Its module `calvin_env.envs.play_table_env`.
    """

    checkout: CalvinEnv
    entry: Any

    @property
    def revision(self) -> str:
        """`797142c` or `1431a46` if the source is that revision's, otherwise `unknown (...)` with git's commit."""
        digest = source_digest(self.checkout.root)
        for revision, known in SOURCE_DIGESTS.items():
            if digest == known:
                return revision
        commit = head_commit(self.checkout.root)
        if commit is None:
            return "unknown (no git files)"
        is_known = commit.startswith(tuple(SOURCE_DIGESTS))
        return f"unknown ({'changed since ' if is_known else ''}{commit[:7]})"


def import_upstream(calvin_env: str | Path | None = None) -> UpstreamPackage:
    """Imports calvin_env from its checkout, which need not be installed. The packages that it imports must be.

    Args:
        calvin_env: The checkout; None finds one, see `find_calvin_env`.

    Raises:
        CheckoutError: There is no checkout, or it is incomplete.
        UpstreamError: The checkout has no source, a package that it imports is missing, or this process has already
            imported another copy.
    """
    checkout = find_calvin_env(calvin_env)
    root = checkout.root.resolve()
    if not (root / "calvin_env" / "envs" / "play_table_env.py").is_file():
        raise UpstreamError(
            f"expected calvin_env's source at '{root / 'calvin_env'}', found none. A folder with only conf/ and data/ "
            f"is enough for our own world, but not for calvin_env's simulator. {INSTALL}."
        )
    spec = find_spec("calvin_env")
    places = [Path(place).resolve() for place in (spec.submodule_search_locations or ())] if spec else []
    if root / "calvin_env" not in places:
        if "calvin_env" in sys.modules:
            raise UpstreamError(
                f"expected calvin_env of '{root}', but this process has already imported that of "
                f"'{', '.join(map(str, places))}', and it can import only one. Start another process for the other."
            )
        sys.path.insert(0, str(root))
    try:
        with redirected(STDOUT, None), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            entry = import_module(_ENTRY)
    except ImportError as error:
        raise UpstreamError(
            f"expected to import calvin_env from '{root}', got {type(error).__name__}: {error}. "
            f"Install what it needs: pip install {' '.join(REQUIREMENTS)}. docs/upstream.md says more."
        ) from error
    return UpstreamPackage(checkout, entry)


def make_simulator(upstream: UpstreamPackage, scene: str, cameras: Sequence[str], use_egl: bool) -> Any:
    """Makes a `PlayTableSimEnv` with the arm of CALVIN's evaluation.

    Args:
        upstream: What `import_upstream` returned.
        scene: The name of a file of `conf/scene` without `.yaml`.
        cameras: Which of `static` and `gripper` it renders at each step.
        use_egl: Whether Bullet's EGL plugin renders, instead of TinyRenderer. calvin_env loads the plugin into this
            process. On a machine where EGL does not work, this may end the process.

    Raises:
        UpstreamError: This process has another Bullet simulation, or calvin_env failed.
    """
    require_no_other_simulation()
    configuration = _configuration(upstream, scene, cameras)
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        with redirected(STDOUT, None):
            return instantiate(configuration.env, show_gui=False, use_egl=use_egl, use_scene_info=True)
    except InstantiationException as error:
        raise UpstreamError(
            f"expected calvin_env {upstream.revision} of '{upstream.checkout.root}' to make its simulator, "
            f"got: {error}. Correct the file that this names, or get an unchanged checkout: {INSTALL}."
        ) from error
    except SystemExit as error:
        raise UpstreamError(
            "expected Bullet's EGL plugin to load, but calvin_env could not load it and would have ended the process. "
            "Use renderer='bullet-tiny', or install the machine's OpenGL driver with EGL."
        ) from error


def close_simulator(simulator: Any) -> None:
    """Closes a `PlayTableSimEnv` without output, and removes its `close`.

    Otherwise its `__del__` would close it again, when another simulation may have its number.
    """
    with redirected(STDOUT, None):
        simulator.close()
    simulator.close = _nothing


def require_no_other_simulation() -> None:
    """Raises an error if Bullet's first simulation is in use, because calvin_env always puts its pedestal there.

    Raises:
        UpstreamError: It is in use.
    """
    if not is_first_simulation_free():
        raise UpstreamError(
            "expected a process without another Bullet simulation, but one is open. calvin_env always puts its robot's "
            "pedestal into the first simulation of the process. Close the other world, or make this one in a process "
            "of its own (gymnasium's AsyncVectorEnv does so)."
        )


def _configuration(upstream: UpstreamPackage, scene: str, cameras: Sequence[str]) -> Any:
    """The parts that `conf/env/play_table_env.yaml` refers to, each read from its file."""
    from omegaconf import OmegaConf

    folder = upstream.checkout.root / "conf"

    def read(name: str) -> dict[Any, Any]:
        file = folder / f"{name}.yaml"
        if not file.is_file():
            raise UpstreamError(
                f"expected calvin_env's configuration file '{file}', found none. "
                f"Run `git checkout -- conf` in the checkout, or: {INSTALL}."
            )
        content = OmegaConf.to_container(OmegaConf.load(file))
        return dict(content) if isinstance(content, dict) else {}

    robot: dict[Any, Any] = {}
    for name in _ROBOT_FILES:
        robot |= read(f"robot/{name}")
    robot.pop("defaults", None)
    return OmegaConf.create(
        {
            "use_vr": False,
            "data_path": str(upstream.checkout.data.resolve()),
            "cameras": {camera: read(f"cameras/cameras/{camera}") for camera in cameras},
            "robot": robot,
            "scene": read(f"scene/{scene}"),
            "env": read("env/play_table_env"),
        }
    )


def _nothing() -> None:
    """Replaces `close` after it was called."""
