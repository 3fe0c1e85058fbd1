"""The renderers: our own, and the two that come with PyBullet."""

import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np

from calvinbench.envs.bodies.table import Table
from calvinbench.envs.names import require_name
from calvinbench.envs.rendering.rendered import Rendered, View
from calvinbench.envs.scenes.scene import Scene

OPENGL_LOOK, BULLET_EGL, BULLET_TINY = "opengl-look", "bullet-egl", "bullet-tiny"
RENDERERS = MappingProxyType(
    {
        OPENGL_LOOK: "ours, on any CPU: the images of CALVIN's data, with shadows, highlights and filtered textures",
        BULLET_EGL: "PyBullet's OpenGL plugin, which drew CALVIN's data; needs EGL, and a GPU to be fast",
        BULLET_TINY: "PyBullet's TinyRenderer, on any CPU: slower, and another look than CALVIN's data",
    }
)
"""Renderers and what they are."""
_EGL_TRIAL_SECONDS = 60


class RendererError(RuntimeError):
    """A renderer does not work on this machine."""


@runtime_checkable
class ImageRenderer(Protocol):
    """Draws a simulation."""

    depth_bits: int | None
    """Bits of the depth buffer; None if unknown."""
    reads_bullet: bool
    """Whether it draws the meshes that Bullet holds."""

    def prepare(self) -> None:
        """Does the slow preparations now instead of at the first image.

        Raises:
            ValueError: A mesh or texture is damaged.
            FileNotFoundError: One is missing.
        """

    def before_loading(self) -> None:
        """Call it with an empty simulation, before bodies are loaded into it."""

    def after_loading(self, robot: int, blocks: tuple[int, ...], table: Table) -> None:
        """Call it when all bodies are loaded; `robot` and `blocks` are Bullet's numbers."""

    def world_changed(self) -> None:
        """Call it after each step and each reset."""

    def render(self, view: View, fixed: bool, with_depth: bool) -> Rendered:
        """Draws the world as it is now; `fixed` says that the camera never moves."""


def make_renderer(name: str, client: Any, scene: Scene, depth_bits: int | None = None) -> ImageRenderer:
    """A renderer by name.

    Args:
        name: One of `RENDERERS`.
        client: A `BulletClient`.
        scene: The scene that it will draw.
        depth_bits: Bits of our renderer's depth buffer, 16 or 24; None for the scene's default.

    Raises:
        UnknownNameError: There is no such renderer.
        RendererError: It does not work on this machine.
        ValueError: `depth_bits` is not for this renderer, or neither 16 nor 24.
    """
    name = require_name(name, tuple(RENDERERS), "renderer")
    require_works(name)
    if name == OPENGL_LOOK:
        from calvinbench.envs.cameras.opengl_look import OpenGLLook

        return OpenGLLook(client, scene, depth_bits)
    if depth_bits is not None:
        raise ValueError(f"expected depth_bits with the renderer {OPENGL_LOOK} alone, got {depth_bits} with {name}.")
    return BulletRenderer(client, name, as_calvin_env=scene.calvin_env is not None)


class BulletRenderer:
    """One of PyBullet's own renderers."""

    depth_bits: int | None = None
    reads_bullet = True

    def __init__(self, client: Any, name: str, as_calvin_env: bool) -> None:
        """Sets it up.

        Args:
            client: A `BulletClient`.
            name: `bullet-egl` or `bullet-tiny`.
            as_calvin_env: Whether light and shadow keep Bullet's defaults, as in calvin_env.
        """
        self._client = client
        self._is_egl = name == BULLET_EGL
        # Without this argument, the light differs from that of shadow=1.
        self._how = {} if as_calvin_env or self._is_egl else {"shadow": 0}
        self._plugin_of: object = None

    def prepare(self) -> None:
        """Has no effect: Bullet reads meshes when it loads bodies."""

    def before_loading(self) -> None:
        """Loads the plugin into a new simulation. The plugin only sees bodies that are loaded afterwards."""
        if self._is_egl and self._plugin_of != self._client.connection:
            load_egl_plugin(self._client)
            self._plugin_of = self._client.connection
            # The plugin's first two images have no shadows.
            for _ in range(2):
                self._take((1.0,) * 16, (1.0,) * 16, 8)

    def after_loading(self, robot: int, blocks: tuple[int, ...], table: Table) -> None:
        """Has no effect: Bullet knows its bodies."""

    def world_changed(self) -> None:
        """Has no effect: Bullet reads the poses of its bodies for each image."""

    def render(self, view: View, fixed: bool, with_depth: bool) -> Rendered:
        """Draws the world as it is now."""
        _, _, rgba, z_buffer, _ = self._take(view.view, view.projection, view.size)
        rgb = np.asarray(rgba, dtype=np.uint8).reshape(view.size, view.size, 4)[:, :, :3]
        z = np.asarray(z_buffer, dtype=np.float32).reshape(view.size, view.size) if with_depth else None
        return Rendered(np.ascontiguousarray(rgb), z)

    def _take(self, view: tuple[float, ...], projection: tuple[float, ...], size: int) -> Any:
        renderer = self._client.ER_BULLET_HARDWARE_OPENGL if self._is_egl else self._client.ER_TINY_RENDERER
        return self._client.getCameraImage(
            size,
            size,
            view,
            projection,
            **self._how,
            renderer=renderer,
            flags=self._client.ER_NO_SEGMENTATION_MASK,
        )


def load_egl_plugin(client: Any) -> None:
    """Loads PyBullet's EGL plugin. On a machine where it does not work, this may end the process.

    Raises:
        RendererError: There is no plugin, or it cannot be loaded.
    """
    plugin = find_spec("eglRenderer")
    if plugin is None or plugin.origin is None:
        raise RendererError(
            "expected PyBullet's EGL plugin, but this build of PyBullet has none (it is built on Linux where EGL's "
            f"headers are). Use --renderer {OPENGL_LOOK}."
        )
    if client.loadPlugin(plugin.origin, "_eglRendererPlugin") < 0:
        raise RendererError(f"expected PyBullet's EGL plugin to load, but it does not. Use --renderer {OPENGL_LOOK}.")


def require_works(name: str) -> None:
    """Raises an error if a renderer does not work on this machine.

    Raises:
        UnknownNameError: There is no such renderer.
        RendererError: It does not work.
    """
    require_name(name, tuple(RENDERERS), "renderer")
    if name == BULLET_EGL:
        failure = _egl_failure()
        if failure:
            raise RendererError(
                f"expected PyBullet's EGL plugin to draw an image, but a trial in another process {failure}. Use "
                f"--renderer {OPENGL_LOOK}, which gives the same images on the CPU."
            )


@cache
def _egl_failure() -> str:
    """What went wrong when another process tried EGL; empty if it drew an image.

    It must be another process, because loading the plugin on a misconfigured machine ends the process.
    """
    trial = "from calvinbench.envs.cameras.renderers import try_egl; try_egl()"
    try:
        done = subprocess.run(  # noqa: S603  (our own code)
            [sys.executable, "-c", trial], capture_output=True, text=True, timeout=_EGL_TRIAL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"took more than {_EGL_TRIAL_SECONDS} seconds"
    if done.returncode == 0:
        return ""
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    said = f": {lines[-1].strip().rstrip('.')}" if lines else ""
    ended = f"was killed by signal {-done.returncode}" if done.returncode < 0 else f"ended with {done.returncode}"
    return f"{ended}{said}"


def try_egl() -> None:
    """Draws a box with EGL. Call it in a process of its own.

    Raises:
        RendererError: The image is empty.
    """
    from calvinbench.envs.bodies.bullet import BulletClient

    client = BulletClient()
    load_egl_plugin(client)
    shape = client.createVisualShape(client.GEOM_BOX, halfExtents=[0.5, 0.5, 0.5], rgbaColor=[1, 0, 0, 1])
    client.createMultiBody(baseVisualShapeIndex=shape)
    view = client.computeViewMatrix((2, 2, 2), (0, 0, 0), (0, 0, 1))
    lens = client.computeProjectionMatrixFOV(60, 1.0, 0.1, 10)
    image = client.getCameraImage(32, 32, view, lens, renderer=client.ER_BULLET_HARDWARE_OPENGL)[2]
    if np.asarray(image, dtype=np.float64).std() == 0:
        raise RendererError("the image has one colour only")
