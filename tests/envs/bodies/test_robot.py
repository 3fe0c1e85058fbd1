"""The arm: what each action convention does."""

from collections.abc import Iterator

import numpy as np
import pytest

from calvinbench.envs.chains import initial_observation, published
from calvinbench.envs.observation import ActionConvention
from calvinbench.envs.play_table import PlayTableEnv


@pytest.fixture(params=list(ActionConvention))
def any_env(request: pytest.FixtureRequest) -> Iterator[PlayTableEnv]:
    env = PlayTableEnv(cameras=(), action_convention=request.param)
    yield env
    env.close()


def start(env: PlayTableEnv) -> tuple[np.ndarray, dict]:
    robot_obs, scene_obs = initial_observation(published()[0].initial_state)
    observation, info = env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
    return observation["robot_obs"], info


def relative_env() -> PlayTableEnv:
    return PlayTableEnv(cameras=(), action_convention="rel_actions")


def test_a_relative_action_moves_the_target_by_2_cm_and_a_twentieth_of_a_radian():
    env = relative_env()
    _, before = start(env)
    *_, after = env.step(np.array([1.0, -1.0, 0.5, 0.0, 1.0, -1.0, 1.0]))
    np.testing.assert_allclose(after["target_position"] - before["target_position"], [0.02, -0.02, 0.01], atol=1e-12)
    np.testing.assert_allclose(after["target_euler"] - before["target_euler"], [0.0, 0.05, -0.05], atol=1e-12)
    env.close()


def test_the_tool_follows_the_target():
    env = relative_env()
    start(env)
    for _ in range(10):
        env.step(np.array([0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 1.0]))
    for _ in range(20):
        observation, *_, info = env.step(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
    np.testing.assert_allclose(observation["robot_obs"][:3], info["target_position"], atol=2e-3)
    env.close()


def test_a_blocked_target_runs_on_as_in_calvin():
    env = relative_env()
    start(env)
    for _ in range(40):
        observation, *_, info = env.step(np.array([0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0]))
    assert observation["robot_obs"][2] - info["target_position"][2] > 0.5
    env.close()


def test_the_gripper_closes_opens_and_is_remembered():
    env = relative_env()
    robot_obs, _ = start(env)
    assert robot_obs[14] == 1.0
    np.testing.assert_allclose(robot_obs[6], 0.08, atol=1e-3)
    for _ in range(15):
        closed, *_ = env.step(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0]))
    assert closed["robot_obs"][14] == -1.0
    assert closed["robot_obs"][6] < 0.01
    for _ in range(60):
        opened, *_ = env.step(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
    assert opened["robot_obs"][6] > 0.07
    env.close()


def test_a_reset_forgets_the_last_gripper_action():
    env = relative_env()
    start(env)
    env.step(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0]))
    robot_obs, _ = start(env)
    assert robot_obs[14] == 1.0
    env.close()


def test_an_absolute_action_brings_the_tool_there():
    env = PlayTableEnv(cameras=(), action_convention="abs_actions")
    robot_obs, _ = start(env)
    goal = robot_obs[:3] + [0.05, 0.03, -0.02]
    for _ in range(40):
        observation, *_ = env.step(np.array([*goal, *robot_obs[3:6], 1.0]))
    np.testing.assert_allclose(observation["robot_obs"][:3], goal, atol=3e-3)
    env.close()


@pytest.mark.parametrize("convention", ["abs_joints", "rel_joints"])
def test_joint_actions_move_the_joint(convention: str):
    env = PlayTableEnv(cameras=(), action_convention=convention)
    robot_obs, _ = start(env)
    joints = robot_obs[7:14].copy()
    for _ in range(40):
        wanted = joints + np.array([0.2, 0, 0, 0, 0, 0, 0])
        arm = wanted if convention == "abs_joints" else np.clip(wanted - robot_obs[7:14], -0.02, 0.02)
        robot_obs = env.step(np.array([*arm, 1.0]))[0]["robot_obs"]
    np.testing.assert_allclose(robot_obs[7:14], wanted, atol=0.02)
    env.close()


def test_every_convention_samples_actions_that_can_be_stepped(any_env: PlayTableEnv):
    start(any_env)
    any_env.action_space.seed(0)
    for _ in range(3):
        observation, *_ = any_env.step(any_env.action_space.sample())
    assert np.isfinite(observation["robot_obs"]).all()


def test_integer_actions_are_accepted_and_not_changed():
    env = relative_env()
    start(env)
    action = np.array([1, 0, 0, 0, 0, 0, 1])
    env.step(action)
    np.testing.assert_array_equal(action, [1, 0, 0, 0, 0, 0, 1])
    env.close()
