"""Draws `docs/scene.png`, the figure of the embedded scene in the README: `python docs/draw_scene.py`.

Left to right: the static camera with both lights off; the static camera with both lights on, the drawer open and the
door at the left; the gripper camera.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from calvinbench.envs.chains import initial_observation
from calvinbench.envs.play_table import PlayTableEnv

STATE = {
    "slider": "right",
    "drawer": "closed",
    "red_block": "table",
    "blue_block": "slider_left",
    "pink_block": "table",
    "grasped": 0,
}
OFF = {"led": 0, "lightbulb": 0, **STATE}
LIT = {**OFF, "led": 1, "lightbulb": 1, "slider": "left", "drawer": "open", "blue_block": "slider_right"}


def main() -> None:
    """Renders the two states and writes the figure."""
    env = PlayTableEnv()
    panels = {}
    for title, state in (("lights off", OFF), ("lights on, doors moved", LIT)):
        robot_obs, scene_obs = initial_observation(state)
        observation, _ = env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
        panels[f"static, 200 x 200: {title}"] = observation["rgb_static"]
    for _ in range(5):
        observation, *_ = env.step(np.array([0.8, 1.0, 0.3, 0.0, 0.0, 0.0, 1.0]))
    panels["gripper, 84 x 84"] = observation["rgb_gripper"]
    env.close()
    figure = Figure(figsize=(9.0, 3.2), layout="constrained")
    for axes, (title, image) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        axes.imshow(image, interpolation="nearest")
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    figure.savefig(Path(__file__).with_name("scene.png"), dpi=120)


if __name__ == "__main__":
    main()
