"""The world as a Gymnasium environment: its interface, its determinism, and what bad input gets."""

import copy
import hashlib
import subprocess
import sys
import warnings
from collections.abc import Iterator

import gymnasium
import numpy as np
import pybullet
import pytest
from gymnasium.utils.env_checker import check_env

from calvinbench.envs.chains import INITIAL_ROBOT_OBS, initial_observation, published
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.play_table import PlayTableEnv

REST = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def env() -> Iterator[PlayTableEnv]:
    made = PlayTableEnv(cameras=())
    yield made
    made.close()


def chain_state(number: int) -> dict[str, np.ndarray]:
    robot_obs, scene_obs = initial_observation(published()[number].initial_state)
    return {"robot_obs": robot_obs, "scene_obs": scene_obs}


def digest_of_episode(env: PlayTableEnv, number: int, num_steps: int = 90) -> str:
    """Hash of all observations while the arm blunders about the table of one chain, touching what it meets.

    In the chains used here it first touches something at step 19 to 87.
    """
    sha = hashlib.sha256()
    generator = np.random.default_rng(number)
    observation, _ = env.reset(options=chain_state(number))
    action = generator.uniform(-1, 1, 7)
    for _ in range(num_steps):
        for value in observation.values():
            sha.update(value.tobytes())
        action = 0.8 * action + 0.4 * generator.uniform(-1, 1, 7) - np.array([0, 0, 0.05, 0, 0, 0, 0])
        observation, *_ = env.step(action)
    return sha.hexdigest()


def test_gymnasium_makes_it_by_name_and_its_checker_has_nothing_to_say():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make("calvinbench/PlayTable-v0", scene="embedded", render_mode="rgb_array")
        check_env(env.unwrapped)
    env.close()


def test_observations_have_calvins_shapes():
    env = PlayTableEnv(depth=True)
    observation, _ = env.reset(seed=0)
    assert {key: (value.shape, value.dtype.name) for key, value in observation.items()} == {
        "rgb_static": ((200, 200, 3), "uint8"),
        "depth_static": ((200, 200), "float32"),
        "rgb_gripper": ((84, 84, 3), "uint8"),
        "depth_gripper": ((84, 84), "float32"),
        "robot_obs": ((15,), "float64"),
        "scene_obs": ((24,), "float64"),
    }
    assert observation in env.observation_space
    env.close()


def test_cameras_and_their_sizes_are_settings():
    env = PlayTableEnv(cameras=("gripper",), camera_sizes={"gripper": 32})
    observation, _ = env.reset(seed=0)
    assert set(observation) == {"rgb_gripper", "robot_obs", "scene_obs"}
    assert observation["rgb_gripper"].shape == (32, 32, 3)
    env.close()


@pytest.mark.parametrize("number", [0, 1, 7, 42])
def test_a_reset_sets_the_state_of_a_chain(env: PlayTableEnv, number: int):
    state = chain_state(number)
    observation, _ = env.reset(options=state)
    # One physics step runs inside reset: blocks fall by a hair.
    np.testing.assert_allclose(observation["scene_obs"], state["scene_obs"], atol=2e-3)
    np.testing.assert_allclose(observation["robot_obs"], state["robot_obs"], atol=2e-3)


def test_a_seed_draws_a_state_and_the_same_seed_draws_the_same(env: PlayTableEnv):
    first, second, other = (env.reset(seed=seed)[0]["scene_obs"] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_drawn_blocks_stay_where_they_are_put(env: PlayTableEnv):
    for seed in range(12):
        before = env.reset(seed=seed)[0]["scene_obs"]
        for _ in range(30):
            observation, *_ = env.step(REST)
        positions = [slice(6, 9), slice(12, 15), slice(18, 21)]
        for position in positions:
            np.testing.assert_allclose(observation["scene_obs"][position], before[position], atol=0.01)


@pytest.mark.parametrize("number", [4, 5, 7])
def test_an_episode_is_bit_identical_after_any_other(env: PlayTableEnv, number: int):
    fresh = PlayTableEnv(cameras=())
    expected = digest_of_episode(fresh, number)
    fresh.close()
    for before in (11, number + 1, 16):
        digest_of_episode(env, before)
        assert digest_of_episode(env, number) == expected


def test_an_episode_with_pictures_is_bit_identical_in_another_process():
    script = (
        "from calvinbench.envs.play_table import PlayTableEnv\n"
        "from tests.envs.test_play_table import digest_of_episode\n"
        "print(digest_of_episode(PlayTableEnv(), 5, num_steps=20))"
    )
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    env = PlayTableEnv()
    digest_of_episode(env, 3, num_steps=5)
    assert digest_of_episode(env, 5, num_steps=20) == there
    env.close()


def test_two_worlds_in_one_process_do_not_disturb_each_other(env: PlayTableEnv):
    other = PlayTableEnv(cameras=())
    expected = digest_of_episode(other, 4, num_steps=60)
    env.reset(options=chain_state(1))
    step_alone = other.step

    def step_both(action: np.ndarray):
        env.step(-action)
        return step_alone(action)

    other.step = step_both  # type: ignore[method-assign]
    assert digest_of_episode(other, 4, num_steps=60) == expected
    other.close()
    env.step(REST)


def test_a_closed_world_refuses_and_touches_no_other(env: PlayTableEnv):
    closed = PlayTableEnv(cameras=())
    closed.reset(seed=0)
    closed.close()
    other = PlayTableEnv(cameras=())
    before, _ = other.reset(seed=1)
    for use in (lambda: closed.step(REST), lambda: closed.reset(seed=5)):
        with pytest.raises(RuntimeError, match="closed"):
            use()
    np.testing.assert_array_equal(other.observe()["scene_obs"], before["scene_obs"])
    other.close()


def test_a_world_cannot_be_copied(env: PlayTableEnv):
    with pytest.raises(TypeError, match="cannot be copied or pickled"):
        copy.deepcopy(env)


def test_a_step_before_the_first_reset_is_refused():
    env = PlayTableEnv(cameras=())
    with pytest.raises(RuntimeError, match="reset before step"):
        env.step(REST)
    env.close()


def test_every_state_that_it_shows_can_be_set_again(env: PlayTableEnv):
    env.reset(options=chain_state(5))
    for step in range(60):
        observation, *_ = env.step(np.array([0, 0, -0.3, 0, 0, 0, (-1.0) ** (step // 20 + 1)]))
        shown = {key: observation[key] for key in ("robot_obs", "scene_obs")}
        if step % 5 == 4:
            again, _ = env.reset(options=shown)
            np.testing.assert_allclose(again["robot_obs"], shown["robot_obs"], atol=5e-3)


def test_an_absolute_action_takes_a_quaternion_too():
    env = PlayTableEnv(cameras=(), action_convention="abs_actions")
    ends = []
    euler = [3.09, -0.03, 1.3]
    for turn in (euler, pybullet.getQuaternionFromEuler(euler)):
        env.reset(options=chain_state(0))
        ends.append([env.step(np.array([0.05, -0.2, 0.55, *turn, 1.0]))[0]["robot_obs"] for _ in range(10)])
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-9)
    assert abs(ends[0][-1][5] - 1.3) < 0.02
    env.close()


def test_rendering_does_not_change_the_physics():
    plain, seen = PlayTableEnv(cameras=()), PlayTableEnv()
    for world in (plain, seen):
        world.reset(options=chain_state(2))
    for _ in range(10):
        action = np.array([0.5, 0.5, -1.0, 0.0, 0.0, 0.3, -1.0])
        states = [world.step(action)[0] for world in (plain, seen)]
    for key in ("robot_obs", "scene_obs"):
        np.testing.assert_array_equal(states[0][key], states[1][key])
    plain.close()
    seen.close()


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (np.zeros(6), ValueError, r"shape \(7,\).*got shape \(6,\)"),
        (np.zeros((1, 7)), ValueError, r"without a batch or chunk axis"),
        (np.array([np.nan, 0, 0, 0, 0, 0, 1]), ValueError, "finite"),
        (np.array([0, np.inf, 0, 0, 0, 0, 1]), ValueError, "finite"),
        (np.array(["left", "0", "0", "0", "0", "0", "1"]), TypeError, "expected 7 numbers"),
    ],
)
def test_a_bad_action_is_refused_and_the_world_does_not_move(env: PlayTableEnv, action, error, message):
    env.reset(options=chain_state(0))
    with pytest.raises(error, match=message):
        env.step(action)
    after, *_ = env.step(REST)
    env.reset(options=chain_state(0))
    expected, *_ = env.step(REST)
    np.testing.assert_array_equal(after["robot_obs"], expected["robot_obs"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scene": "embeded"}, "Unknown scene 'embeded'. Did you mean 'embedded'"),
        ({"cameras": ("statik",)}, "Did you mean 'static'"),
        ({"renderer": "bullet_tiny"}, "Did you mean 'bullet-tiny'"),
        ({"action_convention": "rel_action"}, "Did you mean 'rel_actions'"),
        ({"camera_sizes": {"static": 0}}, "at least 1 pixel"),
        ({"render_mode": "human"}, "render_mode"),
    ],
)
def test_bad_settings_are_refused_in_words(settings, message):
    with pytest.raises((UnknownNameError, ValueError), match=message):
        PlayTableEnv(**settings)


WRONG_KINDS = {
    "camera_sizes={'static': (1280, 720)}": "such as 224, got (1280, 720). Images are square: give one number.",
    "camera_sizes={'static': 224.0}": "of camera 'static' as an integer of pixels, such as 224, got 224.0.",
    "camera_sizes={'static': True}": "as an integer of pixels, such as 224, got True.",
    "camera_sizes={'gripper': '84'}": "as an integer of pixels, such as 224, got '84'.",
    "camera_sizes=224": "camera_sizes as a mapping of names to pixels, such as {'static': 224}, got 224.",
    "cameras=None": "cameras as a list of names, got None. Write () for none.",
    "cameras='static'": "Write ('static',).",
    "cameras=(3,)": "Unknown camera '3'.",
    "scene=3": "Unknown scene '3'.",
    "simulation=None": "Unknown simulation 'None'.",
    "renderer=None": "Unknown renderer 'None'.",
}


def test_settings_of_the_wrong_kind_are_refused_in_words():
    """In a process of its own, for here the types of arguments are checked before the function sees them."""
    calls = "".join(
        f"\ntry: PlayTableEnv({setting})\nexcept (TypeError, ValueError) as error: print(error)"
        for setting in WRONG_KINDS
    )
    code = f"from calvinbench.envs.play_table import PlayTableEnv{calls}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert len(said) == len(WRONG_KINDS)
    assert [words for words, line in zip(WRONG_KINDS.values(), said, strict=True) if words not in line] == []


def test_remedy_sizes_are_one_whole_number():
    env = PlayTableEnv(cameras=("static",), camera_sizes={"static": 24})
    assert env.observation_space["rgb_static"].shape == (24, 24, 3)
    observation, _ = env.reset(seed=0)
    assert observation["rgb_static"].shape == (24, 24, 3)
    env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scene_obs": np.zeros(23)}, r"scene_obs of shape \(24,\)"),
        ({"robot_obs": np.full(15, np.nan)}, "finite numbers in robot_obs"),
        ({"scene_obs": np.eye(24)[4] * 0.5}, r"scene_obs\[4\] to be 0 or 1"),
        ({"robot_obs": np.array(INITIAL_ROBOT_OBS) * [*[1] * 14, 0]}, r"robot_obs\[14\] to be -1 or 1"),
        ({"scene_obs": np.eye(24)[0] * 5}, r"scene_obs\[0\] between 0 and 0.28, got 5"),
        ({"scene_obs": np.eye(24)[6] * 1e7}, r"scene_obs\[6\] between -100 and 100"),
        ({"robot_obs": np.eye(15)[8] * 50}, r"robot_obs\[8\] between -1.7628 and 1.7628, got 50"),
        ({"scene": np.zeros(24)}, "Did you mean 'scene_obs'"),
    ],
)
def test_bad_states_are_refused_in_words(env: PlayTableEnv, options, message):
    with pytest.raises((UnknownNameError, ValueError), match=message):
        env.reset(options=options)


def test_closing_twice_is_allowed():
    env = PlayTableEnv(cameras=())
    env.close()
    env.close()


def test_render_gives_the_static_picture_where_a_render_mode_was_asked_for():
    env = PlayTableEnv(cameras=(), render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert picture is not None
    assert picture.shape == (200, 200, 3)
    env.close()


def test_images_of_steps_after_some_that_were_left_out_are_the_same_to_the_bit():
    generator = np.random.default_rng(0)
    actions = generator.uniform(-1, 1, (60, 7))
    actions[:, 6] = np.sign(np.sin(np.arange(60) / 7))
    seeing, skipping = (PlayTableEnv(depth=True) for _ in range(2))
    for env in (seeing, skipping):
        env.reset(options=chain_state(3))
    num_images = 0
    for step, action in enumerate(actions):
        skips = step % 5 != 0
        assert skipping.skip_images(skips)
        shown, found = seeing.step(action)[0], skipping.step(action)[0]
        assert set(found) == ({"robot_obs", "scene_obs"} if skips else set(shown))
        if step % 7 == 0:
            found = skipping.observe()
        num_images += "rgb_static" in found
        for key, value in found.items():
            np.testing.assert_array_equal(value, shown[key])
    assert num_images == 12 + 9 - 2
    assert "rgb_static" in skipping.reset(seed=0)[0]
    for env in (seeing, skipping):
        env.close()
    for use in (skipping.observe, PlayTableEnv(cameras=()).observe):
        with pytest.raises(RuntimeError, match=r"closed|expected reset before observe"):
            use()
