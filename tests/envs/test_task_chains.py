import pickle

import numpy as np
import pytest

from calvinbench.envs import lead_ins
from calvinbench.envs.chain_env import ChainEnv
from calvinbench.envs.chains import Chain, digest, initial_states, next_states, published
from calvinbench.envs.instructions import embedded_instructions
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.task_chains import single_task_chains
from calvinbench.envs.tasks import TASKS


def test_each_chain_is_one_task_in_a_state_that_allows_it():
    chains = single_task_chains(("open_drawer", "lift_red_block_slider"), 20)
    assert [chain.subtasks for chain in chains] == [("open_drawer",)] * 20 + [("lift_red_block_slider",)] * 20
    assert all(len(next_states(chain.initial_state, chain.subtasks[0])) == 1 for chain in chains)


def test_states_are_distinct_and_spread_over_all_that_allow_the_task():
    chains = single_task_chains(("turn_on_led",), 50)
    numbers = [initial_states().index(chain.initial_state) for chain in chains]
    assert len(set(numbers)) == 50
    allowing = [number for number, state in enumerate(initial_states()) if state["led"] == 0]
    assert (numbers[0], numbers[-1]) == (allowing[0], allowing[-1])


def test_half_of_the_states_have_the_led_off():
    assert len(single_task_chains(("turn_on_led",), 192)) == 96


def test_more_states_than_there_are_give_all_of_them():
    assert len(single_task_chains(("open_drawer",), 1000)) == 96


def test_what_needs_another_task_first_begins_where_the_expert_leads():
    led = {task for task in TASKS if single_task_chains((task,), 1)[0].lead_in}
    assert led == {
        *("lift_red_block_drawer", "lift_blue_block_drawer", "lift_pink_block_drawer"),
        *("place_in_slider", "place_in_drawer", "stack_block", "unstack_block"),
    }
    for chain in single_task_chains(tuple(led), 30):
        states = [dict(chain.initial_state)]
        for task in chain.lead_in:
            states = [after for state in states for after in next_states(state, task)]
        assert states
        assert all(next_states(state, chain.subtasks[0]) for state in states)


def test_a_lead_in_is_part_of_what_is_run():
    (chain,) = single_task_chains(("stack_block",), 1)
    plain = Chain(chain.initial_state, chain.subtasks)
    assert digest([chain]) != digest([plain])
    assert pickle.loads(pickle.dumps(chain)) == chain
    assert digest(published()) == "90191d9ac76baecb4f292ab766bbbf3ae65dbf43a83bbe5c376d99db10fd6446"


def play(chain):
    env = ChainEnv(PlayTableEnv(scene="embedded", cameras=()), embedded_instructions())
    try:
        return env.reset(seed=0, options={"chain": chain})
    finally:
        env.close()


@pytest.mark.slow
def test_the_policy_begins_in_the_state_that_the_task_needs():
    (unstack,) = single_task_chains(("unstack_block",), 1)
    observation, info = play(unstack)
    assert (info["task"], info["subtask_steps"], info["completed"]) == ("unstack_block", 0, 0)
    heights = sorted(block.position[2] for block in info["world"].blocks.values())
    assert heights[2] - heights[1] > 0.03
    (place,) = single_task_chains(("place_in_slider",), 1)
    observation, info = play(place)
    assert observation["robot_obs"][6] > 0.01  # something is between the fingers
    assert observation["robot_obs"][14] == -1.0


def test_a_lead_in_that_fails_is_said_and_so_is_a_world_that_the_expert_cannot_move(monkeypatch):
    (chain,) = single_task_chains(("place_in_slider",), 1)
    monkeypatch.setattr(lead_ins, "_MAX_STEPS", 3)
    with pytest.raises(lead_ins.LeadInError, match=r"did not solve 'lift_.*' in 3 steps"):
        play(chain)
    env = PlayTableEnv(scene="embedded", cameras=(), action_convention="abs_actions")
    try:
        with pytest.raises(lead_ins.LeadInError, match="a world with 'rel_actions'"):
            ChainEnv(env, embedded_instructions()).reset(options={"chain": chain})
    finally:
        env.close()


def test_an_unknown_task_is_named():
    with pytest.raises(UnknownNameError, match="open_drawer"):
        single_task_chains(("open_drawr",), 5)


def test_images_are_not_rendered_while_a_lead_in_runs():
    class Counting(PlayTableEnv):
        num_images = 0

        def observe(self):
            self.num_images += 1
            return super().observe()

    chain = single_task_chains(("place_in_slider",), 1)[0]
    assert chain.lead_in
    world = Counting(cameras=("gripper",))
    observation, _ = ChainEnv(world, embedded_instructions()).reset(options={"chain": chain})
    assert world.num_images == 2  # at the reset, and where the chain begins
    np.testing.assert_array_equal(observation["rgb_gripper"], world.images()["gripper"].rgb)
    assert set(world.step(np.array([0.0, 0, 0, 0, 0, 0, 1]))[0]) == {"rgb_gripper", "robot_obs", "scene_obs"}
    world.close()
