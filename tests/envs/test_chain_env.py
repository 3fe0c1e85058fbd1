"""ChainEnv: one episode is one chain."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from calvinbench.envs.chain_env import ChainEnv, ChainStatus, EndedSubtask
from calvinbench.envs.chains import Chain
from calvinbench.envs.fake_play_table import FakePlayTable
from calvinbench.envs.instructions import InstructionSet, embedded_instructions
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
CHAIN = Chain(STATE, ("turn_on_led", "open_drawer", "move_slider_left", "lift_red_block_table", "place_in_drawer"))
REST = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])


def make(max_steps: int = 360) -> ChainEnv:
    return ChainEnv(PlayTableEnv(cameras=()), embedded_instructions(), max_steps=max_steps)


def test_a_chain_begins_with_its_first_instruction():
    env = make()
    _, info = env.reset(options={"chain": CHAIN})
    assert info["task"] == "turn_on_led"
    assert info["instruction"] == "press the button to turn on the green light"
    assert (info["subtask"], info["subtask_steps"], info["completed"], info["outcome"]) == (0, 0, 0, None)
    env.close()


def test_a_subtask_whose_steps_run_out_truncates_the_episode():
    env = make(max_steps=3)
    env.reset(options={"chain": CHAIN})
    ends = [env.step(REST)[2:] for _ in range(3)]
    assert [(terminated, truncated) for terminated, truncated, _ in ends] == [
        (False, False),
        (False, False),
        (False, True),
    ]
    last = ends[-1][2]
    assert last["outcome"] == "timed_out"
    assert (last["ended_subtask"], last["ended_task"], last["ended_steps"]) == (0, "turn_on_led", 3)
    assert ends[0][2]["ended_task"] is None
    assert ends[-1][2]["completed"] == 0
    with pytest.raises(RuntimeError, match="no chain is under way"):
        env.step(REST)
    env.close()


def test_solving_a_subtask_gives_a_reward_and_the_next_instruction_and_a_new_clock():
    env = make()
    env.reset(options={"chain": CHAIN})
    play_table = env.unwrapped
    assert isinstance(play_table, PlayTableEnv)
    env.step(REST)
    play_table._table._set_light("led", 1)
    _, reward, terminated, truncated, info = env.step(REST)
    assert (reward, terminated, truncated) == (1.0, False, False)
    assert (info["outcome"], info["completed"], info["subtask"], info["subtask_steps"]) == ("solved", 1, 1, 0)
    assert (info["ended_subtask"], info["ended_task"], info["ended_steps"]) == (0, "turn_on_led", 2)
    assert info["task"] == "open_drawer"
    assert info["instruction"] == "open the drawer"
    ended = EndedSubtask("solved", 0, "turn_on_led", 2)
    status = ChainStatus("open_drawer", "open the drawer", subtask=1, subtask_steps=0, completed=1, ended=ended)
    assert ChainStatus.of(info) == status
    assert status.outcome == "solved"
    assert replace(status, ended=None).outcome is None
    env.close()


def test_a_status_is_only_in_the_info_of_chains():
    with pytest.raises(KeyError, match="Wrap the world: ChainEnv"):
        ChainStatus.of({"world": None})


def test_the_last_subtask_terminates_the_episode():
    env = make()
    env.reset(options={"chain": Chain(STATE, ("turn_on_led",))})
    play_table = env.unwrapped
    assert isinstance(play_table, PlayTableEnv)
    play_table._table._set_light("led", 1)
    _, reward, terminated, truncated, info = env.step(REST)
    assert (reward, terminated, truncated, info["completed"]) == (1.0, True, False, 1)
    assert (info["task"], info["subtask"], info["subtask_steps"]) == ("turn_on_led", 0, 1)
    env.close()


def test_an_episode_without_a_chain_is_refused():
    env = make()
    with pytest.raises(RuntimeError, match="no chain is under way"):
        env.step(REST)
    with pytest.raises(ValueError, match="published"):
        env.reset(options={"chains": CHAIN})
    env.close()


def test_a_chain_that_is_not_given_is_drawn_and_the_same_seed_draws_the_same():
    env = make()
    starts = [env.reset(seed=seed) for seed in (0, 0, 1)]
    tasks = [info["task"] for _, info in starts]
    np.testing.assert_array_equal(starts[0][0]["scene_obs"], starts[1][0]["scene_obs"])
    assert tasks[0] == tasks[1]
    assert not np.array_equal(starts[0][0]["scene_obs"], starts[2][0]["scene_obs"])
    env.close()


def test_gymnasiums_vector_environments_step_chains():
    env = gymnasium.vector.SyncVectorEnv([lambda: make(max_steps=2)] * 2)
    env.reset(seed=0)
    for step in range(5):
        _, _, _, truncated, _ = env.step(np.tile(REST, (2, 1)))
        assert truncated.all() == (step % 3 == 1)
    env.close()


def test_a_time_limit_inside_cuts_the_episode_short():
    limited = gymnasium.wrappers.TimeLimit(PlayTableEnv(cameras=()), max_episode_steps=2)
    env = ChainEnv(limited, embedded_instructions())
    env.reset(options={"chain": CHAIN})
    assert [env.step(REST)[3] for _ in range(2)] == [False, True]
    env.close()


def test_a_clock_without_steps_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        make(max_steps=0)


def test_drawn_wordings_go_by_the_chain_s_number_and_the_subtask_s_place():
    ours = embedded_instructions()
    wordings = InstructionSet("drawn", ours.seen, ours.held_out, draws_wordings=True)
    env = ChainEnv(PlayTableEnv(cameras=()), wordings)
    for number in (0, 3, 8):
        _, info = env.reset(options={"chain": CHAIN, "number": number})
        assert info["instruction"] == wordings.sentence("turn_on_led", number, 0)
    _, info = env.reset(options={"chain": CHAIN})
    assert info["instruction"] == wordings.sentence("turn_on_led", 0, 0)
    with pytest.raises(ValueError, match="the chain's number, an integer from 0, got -1"):
        env.reset(options={"chain": CHAIN, "number": -1})
    env.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"chain": CHAIN, "scene_obs": np.zeros(24)}, "Unknown reset option 'scene_obs' of a chain: .* Leave it out"),
        ({"chain": CHAIN, "robot_obs": np.zeros(15)}, "Unknown reset option 'robot_obs' of a chain: .* Leave it out"),
        ({"scene_obs": np.zeros(24)}, "Unknown reset option 'scene_obs'"),
        ({"chian": CHAIN}, r"Unknown reset option 'chian'\. Did you mean 'chain'\?"),
        ({"chain": CHAIN, "numbr": 3}, r"Unknown reset option 'numbr'\. Did you mean 'number'\?"),
        ({"chain": CHAIN, "number": True}, "an integer from 0, got True"),
    ],
)
def test_an_option_that_a_chain_does_not_have_is_refused(options, words):
    env = ChainEnv(FakePlayTable(), embedded_instructions())
    with pytest.raises(ValueError, match=words):
        env.reset(options=options)


def test_remedy_a_world_is_set_to_a_state_without_a_chain_or_the_option_is_left_out():
    env = ChainEnv(FakePlayTable(), embedded_instructions())
    scene_obs = np.zeros(24)
    scene_obs[0] = 0.1
    with pytest.raises(ValueError, match=r'call env\.unwrapped\.reset\(options={"scene_obs": \.\.\.}\)'):
        env.reset(options={"chain": CHAIN, "scene_obs": scene_obs})
    observation, _ = env.unwrapped.reset(options={"scene_obs": scene_obs})
    assert observation["scene_obs"][0] == 0.1
    assert env.reset(options={"chain": CHAIN})[1]["task"] == "turn_on_led"


def test_an_option_of_none_is_as_if_left_out():
    env = FakePlayTable()
    observation, _ = env.reset(seed=0, options={"robot_obs": None, "scene_obs": None})
    assert observation["scene_obs"].tolist() == env.reset(seed=0)[0]["scene_obs"].tolist()
