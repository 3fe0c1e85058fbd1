"""Chains: the published list, the generator that makes it, and what initial states set."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from calvinbench.envs import chains
from calvinbench.envs.chains import (
    Chain,
    generate,
    initial_observation,
    initial_states,
    is_valid,
    next_states,
    published,
)
from calvinbench.envs.names import UnknownNameError

STATE = {
    "led": 0,
    "lightbulb": 1,
    "slider": "right",
    "drawer": "closed",
    "red_block": "table",
    "blue_block": "slider_right",
    "pink_block": "slider_left",
    "grasped": 0,
}


def test_there_are_192_initial_states():
    states = initial_states()
    assert len(states) == 192
    assert len({tuple(state.values()) for state in states}) == 192
    assert all(list(state) == list(STATE) for state in states)


def test_the_published_chains_have_the_published_digest():
    listed = published()
    assert len(listed) == 1000
    assert chains.digest(listed) == "90191d9ac76baecb4f292ab766bbbf3ae65dbf43a83bbe5c376d99db10fd6446"


def test_every_published_chain_is_valid_and_its_counts_are_known():
    listed = published()
    assert all(is_valid(chain.initial_state, chain.subtasks) for chain in listed)
    counts = [task for chain in listed for task in chain.subtasks]
    assert counts.count("lift_pink_block_drawer") == 17
    assert counts.count("place_in_slider") == 398


def test_a_damaged_list_is_refused(monkeypatch: pytest.MonkeyPatch):
    published.cache_clear()
    monkeypatch.setattr(chains, "PUBLISHED_DIGEST", "0" * 64)
    with pytest.raises(RuntimeError, match="install calvinbench again"):
        published()
    published.cache_clear()


@pytest.mark.slow
def by_state(drawn):
    """The chains in the order in which they were drawn, one initial state after another, before they were shuffled."""
    order = list(range(len(drawn)))
    np.random.RandomState(0).shuffle(order)
    unshuffled = [None] * len(drawn)
    for chain, place in zip(drawn, order, strict=True):
        unshuffled[place] = chain
    return unshuffled


PUBLISHED_SHARES = [len(share) for share in np.array_split(np.arange(1000), 192)]
"""How many of the published chains start in each of the 192 initial states: six in the first 40, else five."""


def test_the_generator_draws_the_first_published_chain_of_every_state():
    places = np.cumsum([0, *PUBLISHED_SHARES[:-1]])
    assert by_state(generate(192)) == [by_state(published())[place] for place in places]


def test_the_generator_draws_all_published_chains_of_the_first_states(monkeypatch):
    """All 1000 take eighty times as long: 10 states are drawn as in the whole list, six chains each."""
    first = initial_states()[:10]
    monkeypatch.setattr(chains, "initial_states", lambda: first)
    assert PUBLISHED_SHARES[:10] == [6] * 10
    assert by_state(generate(60)) == by_state(published())[:60]


def test_the_generator_spreads_few_chains_over_the_first_states():
    few = generate(3)
    assert len(few) == 3
    assert {tuple(chain.initial_state.values()) for chain in few} <= {tuple(s.values()) for s in initial_states()[:3]}
    assert few == generate(3)


def test_the_generator_refuses_no_chains():
    with pytest.raises(ValueError, match="at least 1"):
        generate(0)


def test_a_chain_of_unknown_tasks_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'stack_block'"):
        Chain(STATE, ("stack_blok",))


def test_a_lifted_block_is_grasped_and_can_be_placed_but_not_pushed():
    (lifted,) = next_states(STATE, "lift_red_block_table")
    assert (lifted["red_block"], lifted["grasped"]) == ("grasped", 1)
    (placed,) = next_states(lifted, "place_in_slider")
    assert (placed["red_block"], placed["grasped"]) == ("slider_right", 0)
    assert next_states(lifted, "push_red_block_left") == []


def test_a_block_in_the_cabinet_is_lifted_only_where_the_door_is_open():
    assert next_states(STATE, "lift_pink_block_slider")
    assert not next_states(STATE, "lift_blue_block_slider")
    assert next_states({**STATE, "slider": "left"}, "lift_blue_block_slider")


def test_a_sequence_with_two_tasks_of_one_category_is_not_valid():
    state = {**STATE, "led": 0, "lightbulb": 0}
    assert not is_valid(state, ("turn_on_led", "turn_on_lightbulb"))
    assert is_valid(state, ("turn_on_led", "open_drawer"))


def test_push_into_drawer_needs_the_other_blocks_in_the_cabinet():
    assert next_states({**STATE, "drawer": "open"}, "push_into_drawer")[0]["red_block"] == "drawer"
    assert not next_states({**STATE, "drawer": "open", "blue_block": "table"}, "push_into_drawer")


def test_the_hash_is_that_of_pyhash():
    assert chains._fnv1_32("test") == 3910690890
    text = "dict_values([0, 1, 'right', 'closed', 'table', 'slider_right', 'slider_left', 0])"
    assert chains._fnv1_32(text) == 4009425464


def test_an_initial_observation_sets_what_the_state_says():
    robot_obs, scene_obs = initial_observation({**STATE, "slider": "left", "drawer": "open"})
    assert robot_obs.shape == (15,)
    np.testing.assert_array_equal(scene_obs[:6], [0.28, 0.22, 0.0, 0.088, 1.0, 0.0])
    np.testing.assert_allclose(scene_obs[12:15], [0.0703416330, 0.0924044687, 0.460990009])
    np.testing.assert_allclose(scene_obs[18:21], [-0.240851662, 0.0924044687, 0.460990009])
    assert all(np.pi * 3 / 8 <= scene_obs[index] <= np.pi * 5 / 8 for index in (11, 17, 23))


def test_an_initial_state_with_a_missing_key_or_a_wrong_value_is_refused():
    with pytest.raises(ValueError, match="'grasped' is missing"):
        initial_observation({key: value for key, value in STATE.items() if key != "grasped"})
    with pytest.raises(ValueError, match="expected 'drawer' to be one of"):
        initial_observation({**STATE, "drawer": "ajar"})


def test_an_initial_state_whose_blocks_would_stand_in_each_other_is_refused():
    with pytest.raises(ValueError, match="one or two blocks on the table"):
        initial_observation({**STATE, "red_block": "table", "blue_block": "table", "pink_block": "table"})
    with pytest.raises(ValueError, match="one or two blocks on the table"):
        initial_observation({**STATE, "blue_block": "slider_left", "pink_block": "slider_left"})


def test_blocks_do_not_hang_on_the_types_of_equal_values_or_the_order_of_keys():
    expected = initial_observation(STATE).scene_obs
    alike = {key: np.str_(value) if isinstance(value, str) else bool(value) for key, value in STATE.items()}
    for state in (alike, dict(reversed(STATE.items()))):
        np.testing.assert_array_equal(initial_observation(state).scene_obs, expected)


def test_chains_cannot_be_changed_and_travel_to_other_processes():
    chain = published()[0]
    with pytest.raises(TypeError):
        chain.initial_state["led"] = 1  # type: ignore[index]
    assert pickle.loads(pickle.dumps(chain)) == chain


def test_a_chain_without_subtasks_is_refused():
    with pytest.raises(ValueError, match="at least one subtask"):
        Chain(STATE, ())


@pytest.mark.recorded
def test_initial_observations_are_upstreams(recordings: Path):
    conditions = json.loads((recordings / "calvin_parity" / "initial_conditions.json").read_text())
    states = np.load(recordings / "calvin_parity" / "initial_states.npz")
    assert len(conditions) >= 96
    for index, condition in enumerate(conditions):
        robot_obs, scene_obs = initial_observation(condition)
        np.testing.assert_array_equal(robot_obs, states["robot_obs"][index])
        np.testing.assert_array_equal(scene_obs, states["scene_obs"][index])
