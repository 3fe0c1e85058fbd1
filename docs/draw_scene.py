"""Draws the images of the embedded scene in the documentation: `python docs/draw_scene.py`.

It writes `docs/scene.png`, the figure of the README, and `docs/images/`, the gallery of `docs/images.md`. The gallery
holds the renderer's own pixels, so `git diff --stat docs/images` lists what a change of the renderer has changed.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pybullet
from matplotlib.figure import Figure
from PIL import Image

from calvinbench.envs.chains import initial_observation
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.rendering.rendered import View
from calvinbench.envs.rendering.renderer import Renderer
from calvinbench.envs.rendering.shapes.descriptions import single_shape
from calvinbench.envs.rendering.shapes.geometry import make_geometry
from calvinbench.envs.rendering.shapes.mesh_files import Mesh

DOCS = Path(__file__).parent
GALLERY = DOCS / "images"
OFF = {
    "led": 0,
    "lightbulb": 0,
    "slider": "right",
    "drawer": "closed",
    "red_block": "table",
    "blue_block": "slider_left",
    "pink_block": "table",
    "grasped": 0,
}
LIT = {**OFF, "led": 1, "lightbulb": 1, "slider": "left", "drawer": "open", "blue_block": "slider_right"}
ACROSS = np.array([0.8, 1.0, 0.3, 0.0, 0.0, 0.0, 1.0])
"""A relative action that moves the arm over the table."""
DOWN = np.array([0.6, 0.9, -1.0, 0.0, 0.0, 0.0, -1.0])
"""A relative action that lowers the closed gripper towards the blocks."""

PARTS = {"shadow": ("across", (75, 80, 125, 120)), "highlight": ("lit", (50, 155, 100, 195))}
"""Parts of the static camera's images that the gallery enlarges: the view, and left, top, right, bottom in pixels."""


def reset_to(env: PlayTableEnv, state: Mapping[str, int | str]) -> dict[str, np.ndarray]:
    """The observation of an initial state of CALVIN's chains."""
    robot_obs, scene_obs = initial_observation(state)
    return env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})[0]


def moved(env: PlayTableEnv, action: np.ndarray, num_steps: int) -> dict[str, np.ndarray]:
    """The observation after taking an action several times."""
    for _ in range(num_steps):
        observation, *_ = env.step(action)
    return observation


def gallery(env: PlayTableEnv) -> dict[str, dict[str, np.ndarray]]:
    """Observations by the name of the state that they show."""
    views = {"start": reset_to(env, OFF), "across": moved(env, ACROSS, 5)}
    reset_to(env, OFF)
    return {**views, "down": moved(env, DOWN, 12), "lit": reset_to(env, LIT)}


def depth_image(depth: np.ndarray) -> np.ndarray:
    """A depth in metres as grey values: 3 m is white, 6 m is black."""
    return np.round(255 * np.clip((6.0 - depth) / 3.0, 0.0, 1.0)).astype(np.uint8)


def enlarged(image: np.ndarray, factor: int, box: tuple[int, int, int, int] | None = None) -> Image.Image:
    """An image, or the part (left, top, right, bottom) of one, with each pixel as a square."""
    part = Image.fromarray(image).crop(box) if box else Image.fromarray(image)
    return part.resize((part.width * factor, part.height * factor), Image.Resampling.NEAREST)


def draw_gallery(views: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Writes each view of both cameras, the depth of one, and enlarged parts."""
    GALLERY.mkdir(exist_ok=True)
    for name, observation in views.items():
        enlarged(observation["rgb_static"], 1).save(GALLERY / f"{name}-static.png", optimize=True)
        enlarged(observation["rgb_gripper"], 2).save(GALLERY / f"{name}-gripper.png", optimize=True)
    enlarged(depth_image(views["start"]["depth_static"]), 2).save(GALLERY / "start-depth.png", optimize=True)
    for name, (view, part) in PARTS.items():
        enlarged(views[view]["rgb_static"], 6, part).save(GALLERY / f"{name}.png", optimize=True)


def chessboard() -> np.ndarray:
    """A level board of 2 m x 2 m with 16 x 16 fields, seen from the side: the embedded scene has no textures."""
    fields = np.indices((16, 16)).sum(axis=0) % 2
    colours = np.array([[150, 60, 40], [240, 225, 190]], dtype=np.uint8)[np.kron(fields, np.ones((16, 16), dtype=int))]
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], dtype=np.float32)
    order = [[0, 1, 2], [0, 2, 3]]
    normals = np.broadcast_to(np.array([0, 0, 1], dtype=np.float32), (2, 3, 3))
    with TemporaryDirectory() as folder:
        texture = Path(folder) / "board.png"
        Image.fromarray(colours).save(texture)
        mesh = Mesh(corners[order], normals, (corners[order][:, :, :2] + 1) / 2, texture)
        geometry = make_geometry([single_shape(mesh, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))], [False])
    renderer = Renderer(geometry, depth_bits=24)
    renderer.update(np.tile(np.eye(4), (len(geometry.links.bodies), 1, 1)))
    view = pybullet.computeViewMatrix((0.3, -1.4, 0.35), (0.0, -0.2, 0.0), (0, 0, 1))
    return renderer.render(View(view, pybullet.computeProjectionMatrixFOV(50, 1, 0.01, 10), 200), fixed=False).rgb


def draw_figure(panels: Mapping[str, np.ndarray]) -> None:
    """Writes `docs/scene.png`."""
    figure = Figure(figsize=(9.0, 3.2), layout="constrained")
    for axes, (title, image) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        axes.imshow(image, interpolation="nearest")
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    figure.savefig(DOCS / "scene.png", dpi=120)


def main() -> None:
    """Renders the states and writes all images."""
    env = PlayTableEnv(depth=True)
    views = gallery(env)
    after = moved(env, ACROSS, 5)  # from the state with lights on
    env.close()
    draw_gallery(views)
    enlarged(chessboard(), 2).save(GALLERY / "texture.png", optimize=True)
    draw_figure(
        {
            "static, 200 x 200: lights off": views["start"]["rgb_static"],
            "static, 200 x 200: lights on, doors moved": views["lit"]["rgb_static"],
            "gripper, 84 x 84": after["rgb_gripper"],
        }
    )


if __name__ == "__main__":
    main()
