"""Our renderer on a world: its pictures depend on the state alone, and depths are metres."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from calvinbench.envs.cameras.cameras import LENSES, STATIC_EYE, STATIC_LOOKS_AT
from calvinbench.envs.chains import initial_observation, published
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.world_info import BLOCKS
from support import REPOSITORY

_ROOT = REPOSITORY


@pytest.fixture(scope="module")
def env() -> Iterator[PlayTableEnv]:
    made = PlayTableEnv(cameras=())
    yield made
    made.close()


def state(number: int) -> dict[str, np.ndarray]:
    robot_obs, scene_obs = initial_observation(published()[number].initial_state)
    return {"robot_obs": robot_obs, "scene_obs": scene_obs}


def digest(env: PlayTableEnv, number: int, num_steps: int = 0) -> str:
    """Hash of both cameras' colours and depths at a chain's start, and after each of some steps."""
    sha, generator = hashlib.sha256(), np.random.default_rng(number)
    env.reset(options=state(number))
    for step in range(num_steps + 1):
        for picture in env.images().values():
            sha.update(picture.rgb.tobytes() + picture.depth.tobytes())
        if step < num_steps:
            env.step(np.array([*generator.uniform(-1, 1, 3) - (0, 0, 0.5), 0.0, 0.0, 0.4, 1.0]))
    return sha.hexdigest()


def digests(scene: str, calvin_env: str | None, numbers: tuple[int, ...]) -> dict[int, str]:
    """In a fresh world, one chain after another."""
    made = PlayTableEnv(scene, cameras=(), calvin_env=calvin_env)
    found = {number: digest(made, number, num_steps=5) for number in numbers}
    made.close()
    return found


@pytest.mark.parametrize("scene", ["embedded", pytest.param("D", marks=pytest.mark.recorded)])
def test_pictures_depend_on_the_state_alone(scene: str, request: pytest.FixtureRequest):
    checkout = None if scene == "embedded" else str(request.getfixturevalue("recordings") / "calvin_env")
    script = (
        "import sys\nsys.path.insert(0, 'tests')\n"
        "from tests.envs.cameras.test_opengl_look import digests\n"
        f"print(digests({scene!r}, {checkout!r}, (5,))[5])\nprint(digests({scene!r}, {checkout!r}, (7, 4, 5))[5])"
    )
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=_ROOT)
    (expected,) = set(there.stdout.split())
    env = PlayTableEnv(scene, cameras=(), calvin_env=checkout)
    # Far from any state of a chain: the arm stretched out to one side, a block on its way to the horizon.
    odd = state(3)
    odd["robot_obs"][7:14] = (2.5, 0.9, 0.0, -0.2, 0.0, 1.5, 0.0)
    odd["scene_obs"][6:9] = (3.0, -2.0, 0.3)
    env.reset(options=odd)
    for _ in range(50):
        env.step(np.array([1.0, -1.0, -1.0, 0.0, 0.0, 0.0, -1.0]))
        env.images()
    assert digest(env, 5, num_steps=5) == expected
    assert digest(env, 5, num_steps=5) == expected
    env.close()


def test_asking_again_gives_the_same_pictures(env: PlayTableEnv):
    env.reset(options=state(0))
    first, second = env.images(), env.images()
    for camera, picture in first.items():
        np.testing.assert_array_equal(picture.rgb, second[camera].rgb)
        np.testing.assert_array_equal(picture.depth, second[camera].depth)


def test_pictures_follow_the_world_step_by_step(env: PlayTableEnv):
    action = np.array([0.8, 0.8, -0.5, 0.0, 0.0, 0.3, -1.0])
    at_the_end = PlayTableEnv(cameras=())
    for world in (env, at_the_end):
        world.reset(options=state(0))
        for _ in range(6):
            if world is env:
                world.images()
            world.step(action)
    for camera, picture in env.images().items():
        np.testing.assert_array_equal(picture.rgb, at_the_end.images()[camera].rgb)
    at_the_end.close()


def test_a_picture_is_the_caller_s_own(env: PlayTableEnv):
    env.reset(options=state(0))
    kept = {camera: picture.rgb.copy() for camera, picture in env.images().items()}
    for picture in env.images().values():
        picture.rgb[:] = 0
        picture.depth[:] = 0
    for camera, picture in env.images().items():
        np.testing.assert_array_equal(picture.rgb, kept[camera])


def expected_depth_m(env: PlayTableEnv, pixel: tuple[int, int], height_m: float) -> float:
    """Distance along the static camera's axis at which a pixel's ray is at a height, by geometry alone."""
    forward = np.array(STATIC_LOOKS_AT) - STATIC_EYE
    forward /= np.linalg.norm(forward)
    right = np.array(env._cameras["static"]._static_view).reshape(4, 4)[:3, 0]
    up = np.cross(right, forward)
    half = np.tan(np.radians(LENSES["static"].fov_degrees / 2))
    row, column = pixel
    ray = forward + right * half * ((column + 0.5) / 100 - 1) + up * half * (1 - (row + 0.5) / 100)
    return float((height_m - STATIC_EYE[2]) / ray[2])


@pytest.mark.parametrize("depth_bits", [16, 24])
def test_depth_is_in_metres_as_finely_as_the_buffer_tells(depth_bits: int):
    env = PlayTableEnv(cameras=("static",), depth=True, depth_bits=depth_bits)
    # The arm is out of the way; the embedded table's top is at 0.44 m, the floor at 0.
    aside = state(0)
    aside["robot_obs"][7:14] = (-2.5, 0.2, 0.0, -1.0, 0.0, 1.5, 0.0)
    depth = env.reset(options=aside)[0]["depth_static"]
    for pixel, height_m in (((118, 150), 0.44), ((97, 75), 0.44), ((150, 20), 0.0)):
        expected = expected_depth_m(env, pixel, height_m)
        step_m = expected**2 / LENSES["static"].near_m / 2**depth_bits
        # Half a step for rounding; corners of triangles are moved to a grid of 1/256 pixel.
        assert depth[pixel] == pytest.approx(expected, abs=0.51 * step_m + 6e-4)
    env.close()


def test_the_finer_depth_buffer_is_ours_and_the_coarser_is_calvin_s(env: PlayTableEnv):
    assert env.depth_bits == 24
    with pytest.raises(ValueError, match="expected 16 or 24 depth bits, got 32"):
        PlayTableEnv(cameras=(), depth_bits=32)


@pytest.mark.parametrize(("static", "gripper"), [(64, 200), (337, 1), (400, 84)])
def test_other_sizes_show_the_same_things(env: PlayTableEnv, static: int, gripper: int):
    env.reset(options=state(2))
    native = env.images()
    other = PlayTableEnv(cameras=(), camera_sizes={"static": static, "gripper": gripper})
    other.reset(options=state(2))
    for camera, picture in other.images().items():
        size = {"static": static, "gripper": gripper}[camera]
        assert picture.rgb.shape == (size, size, 3)
        assert picture.depth.shape == (size, size)
        if size > 1:
            means = [shot.rgb.reshape(-1, 3).mean(axis=0) for shot in (picture, native[camera])]
            np.testing.assert_allclose(*means, atol=4)
            assert picture.depth.mean() == pytest.approx(native[camera].depth.mean(), rel=0.02)
    other.close()


def test_lights_show_their_colours(env: PlayTableEnv):
    seen = {}
    for lit in (0, 1):
        lights = state(0)
        lights["scene_obs"][3:6] = (0.088 * lit, lit, lit)
        env.reset(options=lights)
        seen[lit] = env.images()["static"].rgb.astype(int)
    changed = (np.abs(seen[0] - seen[1]).max(axis=-1) > 60) & (np.abs(seen[1][..., 2] - seen[1][..., 1]) > 80)
    green = changed & (seen[1][..., 0] < 60)
    yellow = changed & (seen[1][..., 0] > 90) & (seen[1][..., 2] < 60)
    assert green.sum() > 80
    assert yellow.sum() > 40
    # Unlit they are white: as much of each colour.
    assert np.ptp(seen[0][green | yellow], axis=-1).max() < 12


@pytest.mark.recorded
def test_calvin_s_scenes_differ_and_each_shows_its_blocks(recordings: Path):
    pictures = {}
    for scene in "ABCD":
        env = PlayTableEnv(scene, cameras=(), calvin_env=recordings / "calvin_env")
        assert env.depth_bits == 16
        with_blocks = env.reset(seed=0)[0]["scene_obs"]
        surface = env.scene.surfaces["table"]
        low, high = np.array(surface.low), np.array(surface.high)
        for number in range(3):
            place = low + (high - low) * (number + 0.5) / 3
            with_blocks[6 + 6 * number : 12 + 6 * number] = [*place, 0, 0, 0]
        aside = state(0)["robot_obs"]
        aside[7:14] = (-2.5, 0.2, 0.0, -1.0, 0.0, 1.5, 0.0)
        env.reset(options={"robot_obs": aside, "scene_obs": with_blocks})
        rgb = pictures[scene] = env.images()["static"].rgb.astype(float)
        shades = rgb / np.maximum(rgb.max(axis=-1, keepdims=True), 1)
        colours = {
            "block_red": (shades[..., 1] < 0.25) & (shades[..., 2] < 0.25),
            "block_blue": (shades[..., 0] < 0.35) & (shades[..., 2] == 1) & (shades[..., 1] < 0.6),
            "block_pink": (shades[..., 1] < 0.75) & (shades[..., 0] == 1) & (shades[..., 2] > 0.75),
        }
        for block in BLOCKS:
            assert (colours[block] & (rgb.max(axis=-1) > 60)).sum() > 30, (scene, block)
        env.close()
    for one, other in zip("ABC", "BCD", strict=True):
        assert np.abs(pictures[one] - pictures[other]).mean() > 4
