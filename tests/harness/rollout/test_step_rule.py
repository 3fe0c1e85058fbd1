import numpy as np
import pytest

from calvinbench.envs.chain_env import ChainStatus, EndedSubtask
from calvinbench.envs.observation import ActionConvention, Observation
from calvinbench.harness.rollout.diary import Diary
from calvinbench.harness.rollout.jobs import make_job
from calvinbench.harness.rollout.step_rule import decide, executable_action, finish_step
from calvinbench.policies.policy import Decision, Memory
from support.fakes import CHAINS, Idle


def status(instruction, outcome):
    ended = outcome and EndedSubtask(outcome, subtask=0, task="open_drawer", steps=1)
    return ChainStatus("open_drawer", instruction, subtask=0, subtask_steps=0, completed=0, ended=ended)


@pytest.fixture
def diary():
    diary = Diary(make_job(0, CHAINS[0], run_seed=0))
    diary.begin_subtask("first")
    return diary


@pytest.mark.parametrize("reset", ["subtask", "chain"])
@pytest.mark.parametrize(
    ("status", "is_over", "ended", "begins_another"),
    [
        (status("first", None), False, [], False),
        (status("second", "solved"), False, ["solved"], True),
        (status("first", "solved"), True, ["solved"], False),
        (status("first", "timed_out"), True, ["timed_out"], False),
    ],
)
def test_a_solved_subtask_begins_the_next_one_and_may_clear_the_memory(
    diary, status, is_over, ended, begins_another, reset
):
    clears = finish_step(diary, status, Memory(span="unbounded", reset=reset), is_over=is_over)
    assert [subtask.outcome for subtask in diary.subtasks] == ended
    assert clears == (begins_another and reset == "subtask")
    diary.end_subtask("errored")
    assert diary.subtasks[-1].instruction == ("second" if begins_another else "first")


@pytest.mark.parametrize(("num_worlds", "words"), [(1, "for one world"), (3, "for 3 worlds")])
def test_actions_of_another_shape_are_an_error_for_one_world_and_for_several(num_worlds, words):
    policy = Idle()
    policy.act = lambda *given: Decision(np.zeros((num_worlds, 6)), None)
    with pytest.raises(ValueError, match=rf"actions of shape \({num_worlds}, 7\) {words} and 'rel_actions'"):
        decide(policy, Observation(), ["x"] * num_worlds, None, None)


def test_an_action_is_finite_float64_for_the_world():
    action = executable_action(np.zeros(7, dtype=np.float32), ActionConvention.REL_ACTIONS)
    assert action.dtype == np.float64
    with pytest.raises(ValueError, match="finite numbers"):
        executable_action(np.full(7, np.nan), ActionConvention.REL_ACTIONS)
