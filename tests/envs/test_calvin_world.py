"""CALVIN's scenes as worlds: reproducible after whatever came before, and chains on each scene's own surfaces."""

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from calvinbench.envs.chain_env import ChainEnv
from calvinbench.envs.chains import PLACES, TABLE_PLACES, initial_observation, initial_states, published
from calvinbench.envs.expert.expert import Expert
from calvinbench.envs.instructions import embedded_instructions
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.scenes.loading import load_scene
from calvinbench.envs.scenes.scene import CALVIN_SCENES
from calvinbench.envs.simulation import PARITY, SIMULATIONS
from calvinbench.envs.world_info import privileged_state
from tests.envs.test_play_table import REST, digest_of_episode

pytestmark = pytest.mark.recorded
DRAG = np.array([0.6, -0.2, -1.0, 0.0, 0.0, 0.3, -1.0])
"""Down onto the table and along it."""


def make(recordings: Path, scene: str = "D", **settings) -> PlayTableEnv:
    return PlayTableEnv(scene, cameras=(), calvin_env=recordings / "calvin_env", **settings)


def drag(env: PlayTableEnv, number: int) -> bool:
    """Drags the closed hand about a chain's table; whether it touched anything."""
    robot_obs, scene_obs = initial_observation(published()[number].initial_state, env.scene)
    env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
    touched = False
    for step in range(80):
        _, _, _, _, info = env.step(DRAG * np.array([np.sin(step / 9), 1, 1, 1, 1, 1, 1]))
        touched |= bool(info["world"].robot_contacts)
    return touched


def test_gymnasium_makes_each_scene_by_its_letter(recordings: Path):
    for scene in CALVIN_SCENES:
        env = gymnasium.make("calvinbench/PlayTable-v0", scene=scene, calvin_env=recordings / "calvin_env", cameras=())
        observation, info = env.reset(seed=1)
        assert observation in env.observation_space
        assert set(info["world"].blocks) == {"block_red", "block_blue", "block_pink"}
        env.close()


def test_an_unknown_simulation_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'parity'"):
        PlayTableEnv(simulation="party")


@pytest.mark.parametrize("simulation", SIMULATIONS)
def test_an_episode_is_bit_identical_after_any_other_and_beside_another_world(recordings: Path, simulation: str):
    fresh = make(recordings, simulation=simulation)
    expected = digest_of_episode(fresh, 5)
    fresh.close()
    env, other = make(recordings, simulation=simulation), make(recordings, "A", simulation=simulation)
    for before in (7, 16):
        assert drag(env, before)
        assert drag(other, before)
        assert digest_of_episode(env, 5) == expected
    env.close()
    other.close()


def test_an_episode_is_bit_identical_in_another_process(recordings: Path):
    script = (
        "from calvinbench.envs.play_table import PlayTableEnv\n"
        "from tests.envs.test_play_table import digest_of_episode\n"
        f"print(digest_of_episode(PlayTableEnv('D', cameras=(), calvin_env={str(recordings / 'calvin_env')!r}), 4))"
    )
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    env = make(recordings)
    drag(env, 11)
    assert digest_of_episode(env, 4) == there
    env.close()


def test_the_two_simulations_part_by_millimetres_at_most_while_nothing_falls(recordings: Path):
    ends = []
    for simulation in SIMULATIONS:
        env = make(recordings, simulation=simulation)
        robot_obs, scene_obs = initial_observation(published()[0].initial_state)
        env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
        ends.append([env.step(REST)[0]["scene_obs"] for _ in range(60)][-1])
        env.close()
    np.testing.assert_allclose(ends[0][6:9], ends[1][6:9], atol=4e-3)


def test_parity_begins_as_a_fresh_process_of_calvin_env_does(recordings: Path):
    """With an open gripper, whatever the state says, and unaware of a button that is down already."""
    env = make(recordings, simulation=PARITY)
    robot_obs, scene_obs = initial_observation(published()[0].initial_state)
    robot_obs[14] = -1.0
    observation, _ = env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
    assert observation["robot_obs"][14] == 1.0
    ours = make(recordings)
    observation, _ = ours.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
    assert observation["robot_obs"][14] == -1.0
    env.close()
    ours.close()


@pytest.mark.parametrize("scene", ["A", "B", "C"])
def test_a_chain_s_blocks_lie_still_on_the_named_surface_of_each_scene(recordings: Path, scene: str):
    env = make(recordings, scene)
    links = {"table": "base_link", "slider_left": "plank_link", "slider_right": "plank_link"}
    for state in initial_states()[::8]:
        robot_obs, scene_obs = initial_observation(state, env.scene)
        env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
        for _ in range(30):
            observation, _, _, _, info = env.step(REST)
        np.testing.assert_allclose(observation["scene_obs"][6:], scene_obs[6:], atol=6e-3)
        for row, (name, surface) in enumerate(
            (n, state[f"{n.removeprefix('block_')}_block"]) for n in env.scene.block_urdfs
        ):
            assert {tuple(contact) for contact in info["world"].blocks[name].contacts} == {("table", links[surface])}
            x, y = scene_obs[6 + 6 * row : 8 + 6 * row]
            own = env.scene.surfaces[surface]
            assert own.low[0] < x < own.high[0]
            assert own.low[1] < y < own.high[1]
    env.close()


@pytest.mark.parametrize(("scene", "open_m"), [("A", 0.28), ("B", 0.304), ("C", 0.24)])
def test_left_means_the_end_of_each_scene_s_own_slider(recordings: Path, scene: str, open_m: float):
    state = next(state for state in initial_states() if state["slider"] == "left" and state["drawer"] == "open")
    _, scene_obs = initial_observation(state, load_scene(scene, recordings / "calvin_env"))
    np.testing.assert_allclose(scene_obs[:2], [open_m, 0.22])


def test_blocks_keep_their_names_where_scene_obs_has_another_order(recordings: Path):
    state = {**initial_states()[0], "red_block": "table", "blue_block": "slider_left", "pink_block": "slider_right"}
    _, in_d = initial_observation(state)
    _, in_a = initial_observation(state, load_scene("A", recordings / "calvin_env"))
    red, blue, pink = in_d[6:12], in_d[12:18], in_d[18:24]
    # Scene A has scene D's cabinet; its table reaches farther to the left.
    np.testing.assert_allclose(in_a[12:18], blue)
    np.testing.assert_allclose(in_a[6:12], pink)
    np.testing.assert_allclose(in_a[19:24], red[1:])
    np.testing.assert_allclose(in_a[18], -0.2 + red[0] / 0.35 * 0.55)


def test_scene_d_has_the_published_places_to_the_bit(recordings: Path):
    scene = load_scene("D", recordings / "calvin_env")
    for state in initial_states():
        np.testing.assert_array_equal(initial_observation(state, scene).scene_obs, initial_observation(state).scene_obs)
    places = {*PLACES.values(), *TABLE_PLACES}
    assert all(tuple(initial_observation(state, scene).scene_obs[6:9]) in places for state in initial_states())


def test_the_expert_completes_chains_on_scene_d(recordings: Path):
    env = ChainEnv(make(recordings), embedded_instructions())
    for chain in published()[:2]:
        observation, info = env.reset(options={"chain": chain})
        expert, done = Expert(), False
        while not done:
            observation, _, terminated, truncated, info = env.step(expert.act(privileged_state(observation, info)))
            done = terminated or truncated
        assert info["completed"] == 5
    env.close()


@pytest.mark.parametrize("scene", ["A", "B", "C"])
def test_the_expert_is_told_each_scene_s_own_block_sizes(recordings: Path, scene: str):
    env = ChainEnv(make(recordings, scene), embedded_instructions())
    observation, info = env.reset(options={"chain": published()[0]})
    state = privileged_state(observation, info)
    assert state.block_sizes is not None
    expected = load_scene(scene, recordings / "calvin_env").block_sizes()
    assert {name: tuple(size) for name, size in state.block_sizes.items()} == expected
    expert = Expert()
    expert.act(state)
    assert expert._view is not None
    assert expert._view.block_sizes == expected
    env.close()


def test_images_after_steps_without_images_are_the_same_to_the_bit(recordings: Path):
    seeing, skipping = (PlayTableEnv("D", calvin_env=recordings / "calvin_env") for _ in range(2))
    robot_obs, scene_obs = initial_observation(published()[0].initial_state, seeing.scene)
    for env in (seeing, skipping):
        env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
    for step in range(40):
        skipping.skip_images(step % 5 != 4)
        action = DRAG * np.array([np.sin(step / 9), 1, 1, 1, 1, 1, 1])
        shown, found = seeing.step(action)[0], skipping.step(action)[0]
        assert ("rgb_static" in found) == (step % 5 == 4)
        for key, value in found.items():
            np.testing.assert_array_equal(value, shown[key])
    for env in (seeing, skipping):
        env.close()
