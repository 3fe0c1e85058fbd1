import pytest

from calvinbench.envs.chains import initial_states, next_states
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.task_chains import allowing_states, single_task_chains
from calvinbench.envs.tasks import TASKS


def test_each_chain_is_one_task_in_a_state_that_allows_it():
    chains = single_task_chains(("open_drawer", "lift_red_block_slider"), 20)
    assert [chain.subtasks for chain in chains] == [("open_drawer",)] * 20 + [("lift_red_block_slider",)] * 20
    assert all(len(next_states(chain.initial_state, chain.subtasks[0])) == 1 for chain in chains)


def test_states_are_distinct_and_spread_over_all_that_allow_the_task():
    chains = single_task_chains(("turn_on_led",), 50)
    numbers = [initial_states().index(chain.initial_state) for chain in chains]
    assert len(set(numbers)) == 50
    assert numbers[0] == allowing_states("turn_on_led")[0]
    assert numbers[-1] == allowing_states("turn_on_led")[-1]


def test_half_of_the_states_have_the_led_off():
    assert len(allowing_states("turn_on_led")) == 96


def test_more_states_than_there_are_give_all_of_them():
    assert len(single_task_chains(("open_drawer",), 1000)) == 96


def test_what_needs_another_task_first_is_refused():
    with pytest.raises(ValueError, match="'stack_block', which needs what another task leaves"):
        single_task_chains(("stack_block",), 5)
    refused = []
    for task in TASKS:
        try:
            allowing_states(task)
        except ValueError:
            refused.append(task)
    assert refused == [
        *("lift_red_block_drawer", "lift_blue_block_drawer", "lift_pink_block_drawer"),
        *("place_in_slider", "place_in_drawer", "stack_block", "unstack_block"),
    ]


def test_an_unknown_task_is_named():
    with pytest.raises(UnknownNameError, match="open_drawer"):
        single_task_chains(("open_drawr",), 5)
