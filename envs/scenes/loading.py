"""`load_scene`: a scene by its name."""

from importlib.resources import files
from pathlib import Path

from calvinbench.envs.names import require_name
from calvinbench.envs.scenes.assets.draw import BLOCK_SIZES
from calvinbench.envs.scenes.calvin_checkout import find_calvin_env
from calvinbench.envs.scenes.calvin_scene import load_calvin_scene
from calvinbench.envs.scenes.panda import panda_urdf
from calvinbench.envs.scenes.scene import EMBEDDED, SCENES, Scene, Surface


def load_scene(name: str, calvin_env: str | Path | None = None) -> Scene:
    """A scene by name.

    Args:
        name: One of `SCENES`.
        calvin_env: The checkout of calvin_env that scenes A to D are read from; None finds one, see `find_calvin_env`.

    Raises:
        UnknownNameError: There is no such scene.
        CheckoutError: The scene is CALVIN's, and its checkout is missing, incomplete or damaged.
    """
    if require_name(name, SCENES, "scene") == EMBEDDED:
        return _embedded()
    return load_calvin_scene(name, find_calvin_env(calvin_env))


def _embedded() -> Scene:
    """The scene that ships with the package: places and joints of CALVIN's scene D, with our own shapes."""
    folder = Path(str(files("calvinbench.envs.scenes.assets")))
    return Scene(
        name=EMBEDDED,
        robot_urdf=panda_urdf(),
        table_urdf=folder / "table.urdf",
        block_urdfs={name: folder / f"{name}.urdf" for name in BLOCK_SIZES},
        global_scaling=1.0,
        surfaces={
            "table": Surface((0.0, -0.15, 0.46), (0.35, -0.04, 0.46)),
            "slider_left": Surface((-0.32, 0.095, 0.46), (-0.16, 0.11, 0.46)),
            "slider_right": Surface((-0.05, 0.095, 0.46), (0.11, 0.11, 0.46)),
        },
    )
