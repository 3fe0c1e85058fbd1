from itertools import count

import numpy as np
import pytest
import torch

from calvinbench.envs.chain_env import ChainEnv
from calvinbench.envs.instructions import embedded_instructions
from calvinbench.envs.observation import ActionConvention, Observation
from calvinbench.harness import clock
from calvinbench.harness.rollout.jobs import make_job
from calvinbench.harness.rollout.rollout import run_chain
from calvinbench.harness.rollout.step_rule import decide, executable_action
from calvinbench.policies.chunk_rule import ChunkRule
from calvinbench.policies.learned.chunks import ChunkExecutor
from calvinbench.policies.policy import Decision, PolicyTraits
from support.fakes import CHAINS, SOLVER_COMPLETES, Forgetful, Idle, Solver, make_fake_world


def roll(policy, number=0, max_steps=10):
    env = ChainEnv(make_fake_world(None, policy.traits), embedded_instructions(), max_steps)
    return run_chain(lambda: env, policy, make_job(number, CHAINS[number], run_seed=0))


def test_a_solved_chain_tells_each_subtask():
    record = roll(Solver())
    assert record.outcome == "solved"
    assert record.completed == 5
    assert [subtask.task for subtask in record.subtasks] == list(CHAINS[0].subtasks)
    pause = record.subtasks[0].steps - 7
    assert 0 <= pause <= 2
    assert [subtask.steps for subtask in record.subtasks][1:] == [6, 1, 1, 6]
    assert record.subtasks[0].instruction == embedded_instructions().canonical("move_slider_left")
    assert record.subtasks[1].policy_ms > 0
    assert record.error is None


def test_a_subtask_that_runs_out_of_steps_ends_the_chain():
    record = roll(Solver(), number=1)
    assert record.outcome == "timed_out"
    assert record.completed == 1
    assert [subtask.outcome for subtask in record.subtasks] == ["solved", "timed_out"]
    assert record.subtasks[1].steps == 10


class Swings(Solver):
    """Turns to and fro by 0.6 and 0.8, and opens and closes the gripper at each step."""

    def act(self, observations, instructions, state, privileged=None):
        sign = 1.0 - 2.0 * (state[0] % 2)
        return Decision(sign * np.array([[0.0, 0.0, 0.0, 0.3, 0.4, 0.0, 1.0]]), (state[0] + 1,))


def test_the_change_of_action_is_measured_without_the_gripper_whose_turns_are_counted():
    record = roll(Swings(), number=3)
    assert record.subtasks[0].action_change == 1.0
    assert record.subtasks[0].steps == 10
    assert record.subtasks[0].gripper_changes == 9


class Poses(Solver):
    """Absolute poses, turned by a quaternion or by euler angles."""

    traits = PolicyTraits(label="poses", action_convention=ActionConvention.ABS_ACTIONS)

    def __init__(self, orientation):
        self.action = np.array([[0.1, 0.0, 0.5, *orientation, 1.0]])

    def act(self, observations, instructions, state, privileged=None):
        return Decision(self.action, state)


def test_absolute_actions_with_a_quaternion_are_executed_as_those_with_euler_angles():
    half = 0.5**0.5
    actions = [
        executable_action(decide(policy, Observation(), ["x"], None, None).actions[0], ActionConvention.ABS_ACTIONS)
        for policy in (Poses([half, 0.0, 0.0, half]), Poses([np.pi / 2, 0.0, 0.0]))
    ]
    np.testing.assert_allclose(actions[0], actions[1], atol=1e-12)
    assert actions[0].shape == (7,)
    with pytest.raises(ValueError, match=r"shape \(1, 7\) for one world"):
        decide(Poses([0.0] * 5), Observation(), ["x"], None, None)


def test_times_are_means_in_milliseconds(monkeypatch):
    readings = count(0.0, 0.002)  # each look at the clock takes two milliseconds
    monkeypatch.setattr(clock, "seconds", lambda: next(readings))
    subtask = roll(Idle(), number=3).subtasks[0]
    assert (subtask.policy_ms, subtask.world_ms) == (2.0, 2.0)
    # Three looks a step, and one at the end.
    assert subtask.seconds == pytest.approx(0.002 * (3 * 10 + 1))


@pytest.mark.parametrize(("reset", "num_resets"), [("subtask", 4), ("chain", 0)])
def test_memory_is_cleared_at_each_subtask_or_not_at_all(reset, num_resets):
    policy = Forgetful(reset)
    assert roll(policy).completed == 5
    assert policy.num_resets == num_resets


class Chunked(Forgetful):
    """Predicts four actions for the task at hand and executes them all; notes which of which chunk, for what task."""

    def __init__(self, reset):
        super().__init__(reset)
        self._executor = ChunkExecutor(ChunkRule.parse("first:4"), chunk_length=4)
        self._num_chunks = 0
        self.executed = []

    def initial_state(self, batch_size, seeds=None):
        return self._executor.initial_state(batch_size)

    def reset_state(self, state, rows):
        return self._executor.forget(state, torch.from_numpy(rows))

    def act(self, observations, instructions, state, privileged=None):
        asked = int(self._executor.needs_prediction(state).sum())
        chunk = torch.zeros(asked, 4, 7)
        if asked:
            self._num_chunks += 1
            wanted = Solver.act(self, observations, instructions, (0,), privileged).actions[0]
            chunk[0] = torch.from_numpy(wanted)
            chunk[0, :, 4] = 0.01 * self._num_chunks + 0.001 * torch.arange(4)
        actions, state = self._executor.advance(state, chunk)
        number, place = divmod(round(1000 * float(actions[0, 4])), 10)
        self.executed.append((privileged[0].task, number, place))
        return Decision(actions.numpy(), state)


def test_a_chunk_ends_with_its_subtask():
    policy = Chunked("subtask")
    assert roll(policy).completed == 5
    slider, drawer = "move_slider_left", "open_drawer"
    # The slider takes seven steps: the last action of its second chunk is never executed.
    assert policy.executed[:7] == [(slider, 1, place) for place in range(4)] + [
        (slider, 2, place) for place in range(3)
    ]
    assert policy.executed[7:13] == [(drawer, 3, place) for place in range(4)] + [(drawer, 4, 0), (drawer, 4, 1)]
    assert policy.executed[13:15] == [("turn_on_lightbulb", 5, 0), ("turn_on_led", 6, 0)]


def test_a_memory_of_the_whole_chain_carries_a_chunk_into_the_next_subtask():
    policy = Chunked("chain")
    roll(policy, max_steps=20)
    assert policy.executed[6:9] == [
        ("move_slider_left", 2, 2),
        ("open_drawer", 2, 3),  # left of what was predicted for the slider
        ("open_drawer", 3, 0),
    ]


def test_an_error_before_the_first_step_counts_at_the_first_subtask():
    def no_world():
        raise RuntimeError("the world\nis gone")

    record = run_chain(no_world, Solver(), make_job(3, CHAINS[3], run_seed=0))
    assert (record.outcome, record.completed, record.chain) == ("errored", 0, 3)
    assert record.subtasks[0].task == "stack_block"
    assert record.subtasks[0].steps == 0
    assert record.error == "RuntimeError: the world is gone"


def test_a_job_s_seed_depends_on_run_and_chain_alone():
    assert make_job(2, CHAINS[2], 0).seed == make_job(2, CHAINS[0], 0).seed
    assert len({make_job(number, CHAINS[0], seed).seed for number in range(3) for seed in range(3)}) == 9


def test_all_chains_complete_what_the_fake_world_can_do():
    assert [roll(Solver(), number).completed for number in range(len(CHAINS))] == SOLVER_COMPLETES
