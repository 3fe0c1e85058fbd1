import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from calvinbench.envs.chains import initial_observation, initial_states
from calvinbench.envs.fake_play_table import FakePlayTable
from calvinbench.envs.tasks import is_solved

RIGHT_CLOSED_DARK = initial_states()[0]


def reset_to_initial_state(world):
    robot_obs, scene_obs = initial_observation(RIGHT_CLOSED_DARK)
    return world.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})


@pytest.mark.filterwarnings("ignore:.*WARN.*")
def test_it_is_a_gymnasium_environment():
    check_env(FakePlayTable(), skip_render_check=True)


def test_it_shows_the_cameras_it_was_asked_for():
    observation, _ = reset_to_initial_state(FakePlayTable(cameras=("gripper",)))
    assert sorted(observation) == ["rgb_gripper", "robot_obs", "scene_obs"]
    assert observation["rgb_gripper"].shape == (84, 84, 3)


@pytest.mark.parametrize(
    ("task", "axis", "steps"),
    [("move_slider_left", 0, 7), ("open_drawer", 1, 6), ("turn_on_lightbulb", 2, 1), ("turn_on_led", 3, 1)],
)
def test_a_task_is_solved_after_so_many_steps_along_its_axis(task, axis, steps):
    world = FakePlayTable(cameras=())
    _, start = reset_to_initial_state(world)
    solved_after = None
    for step in range(1, 11):
        *_, info = world.step(np.eye(7)[axis])
        if solved_after is None and is_solved(task, start, info):
            solved_after = step
    assert solved_after == steps


def test_an_earlier_episode_leaves_no_trace():
    world = FakePlayTable()
    first, _ = reset_to_initial_state(world)
    world.step(np.ones(7))
    again, _ = reset_to_initial_state(world)
    assert all(np.array_equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize("action", [np.full(7, np.nan), np.zeros(6), np.zeros((1, 7))])
def test_a_bad_action_is_refused(action):
    world = FakePlayTable(cameras=())
    reset_to_initial_state(world)
    with pytest.raises(ValueError, match="expected"):
        world.step(action)
