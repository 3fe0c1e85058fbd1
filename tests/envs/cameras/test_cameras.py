"""Pictures: what must be seen in them, and what a pixel's depth means."""

from collections.abc import Iterator

import numpy as np
import pytest

from calvinbench.envs.chains import initial_observation
from calvinbench.envs.play_table import PlayTableEnv

STATE = {
    "led": 0,
    "lightbulb": 0,
    "slider": "right",
    "drawer": "closed",
    "red_block": "table",
    "blue_block": "slider_left",
    "pink_block": "table",
    "grasped": 0,
}


@pytest.fixture(scope="module")
def env() -> Iterator[PlayTableEnv]:
    made = PlayTableEnv(depth=True)
    yield made
    made.close()


def look(env: PlayTableEnv, **changes: object) -> dict[str, np.ndarray]:
    robot_obs, scene_obs = initial_observation({**STATE, **changes})
    return env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})[0]


def pixels_like(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    """Number of pixels whose hue is near a colour's, whatever the shade."""
    shades = picture.astype(float) / np.maximum(picture.max(axis=-1, keepdims=True), 60)
    wanted = np.array(colour) / max(colour)
    return int((np.abs(shades - wanted).max(axis=-1) < 0.2).sum())


@pytest.mark.parametrize(
    ("colour", "least"), [((230, 13, 13), 150), ((13, 26, 230), 60), ((242, 51, 217), 200)], ids=["red", "blue", "pink"]
)
def test_every_block_is_seen_by_the_static_camera(env: PlayTableEnv, colour, least):
    assert pixels_like(look(env)["rgb_static"], colour) >= least


def test_a_block_hidden_behind_the_door_is_not_seen(env: PlayTableEnv):
    assert pixels_like(look(env, slider="left")["rgb_static"], (13, 26, 230)) < 20


@pytest.mark.parametrize(("light", "colour"), [("led", (0, 255, 0)), ("lightbulb", (255, 255, 0))])
def test_lit_and_unlit_differ_plainly(env: PlayTableEnv, light, colour):
    off, on = look(env, **{light: 0})["rgb_static"], look(env, **{light: 1})["rgb_static"]
    assert pixels_like(off, colour) == 0
    assert pixels_like(on, colour) > 80


def test_moving_a_door_changes_the_picture(env: PlayTableEnv):
    closed = look(env)["rgb_static"]
    for change in ({"drawer": "open"}, {"slider": "left"}):
        moved = look(env, **change)["rgb_static"]
        assert (np.abs(moved.astype(int) - closed).max(axis=-1) > 20).sum() > 400


def test_static_depth_is_the_distance_to_what_is_seen(env: PlayTableEnv):
    depth = look(env)["depth_static"]
    # The camera stands 4.2 m from the middle of the table that it looks at.
    eye, at = np.array([2.871459, -2.166602, 2.555159]), np.array([-0.026242, -0.030233, 0.392])
    assert depth[100, 100] == pytest.approx(np.linalg.norm(eye - at), abs=0.25)
    assert depth.min() > 3.0


def test_the_gripper_camera_moves_with_the_hand(env: PlayTableEnv):
    first = look(env)["rgb_gripper"]
    for _ in range(8):
        observation, *_ = env.step(np.array([1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 1.0]))
    assert (np.abs(observation["rgb_gripper"].astype(int) - first).max(axis=-1) > 20).mean() > 0.2


def test_the_gripper_camera_sees_both_fingers(env: PlayTableEnv):
    depth = look(env)["depth_gripper"]
    left, right = depth[:, :42], depth[:, 42:]
    assert left.min() < 0.2
    assert right.min() < 0.2
