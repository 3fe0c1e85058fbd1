"""The scripted expert solves tasks through the policy's own actions."""

from collections import Counter

import numpy as np
import pytest

from calvinbench.envs.chain_env import ChainEnv
from calvinbench.envs.chains import Chain, published
from calvinbench.envs.expert.expert import EXACT_M, NOISY_M, Expert
from calvinbench.envs.instructions import embedded_instructions
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.tasks import TASKS, is_solved, solved
from calvinbench.envs.world_info import as_world_info, privileged_state

TURNING = Chain(
    next(chain.initial_state for chain in published() if chain.subtasks[0] == "rotate_red_block_left"),
    ("rotate_red_block_left",),
)


def run_chain(env: ChainEnv, chain: Chain) -> tuple[int, list[str], float]:
    """Completed subtasks, the tasks that were solved by the oracle's full list, and the largest action."""
    observation, info = env.reset(options={"chain": chain})
    expert, largest, also_solved = Expert(), 0.0, []
    start = as_world_info(info)
    done = False
    while not done:
        action = expert.act(privileged_state(observation, info))
        largest = max(largest, float(np.abs(action).max()))
        observation, _, terminated, truncated, info = env.step(action)
        done = terminated or truncated
        if info["outcome"]:
            also_solved += solved(start, info)
            start = as_world_info(info)
            expert = Expert()
    return info["completed"], also_solved, largest


def chains_covering_all_tasks() -> list[Chain]:
    """The fewest published chains, picked greedily, in which all 34 tasks occur and nothing follows an unstacking."""
    missing, picked = set(TASKS), []
    candidates = [chain for chain in published()[:300] if "unstack_block" not in chain.subtasks[:-1]]
    while missing:
        best = max(candidates, key=lambda chain: len(missing & set(chain.subtasks)))
        picked.append(best)
        missing -= set(best.subtasks)
    return picked


@pytest.mark.slow
def test_the_expert_does_every_task_and_real_rollouts_satisfy_the_oracle():
    env = ChainEnv(PlayTableEnv(cameras=()), embedded_instructions())
    done: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    for chain in chains_covering_all_tasks():
        completed, also_solved, largest = run_chain(env, chain)
        assert largest <= 1.0
        assert set(chain.subtasks[:completed]) <= set(also_solved)
        done.update(chain.subtasks[:completed])
        reached.update(chain.subtasks[: completed + 1])
    env.close()
    assert set(done) == set(TASKS)
    assert sum(done.values()) == sum(reached.values())


def shaken(action: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """An action with noise on its pose, inside [-1, 1]."""
    return np.concatenate([np.clip(action[:6] + noise, -1.0, 1.0), action[6:]])


@pytest.mark.parametrize("number", [10, 860])
def test_actions_stay_inside_their_range_and_what_failed_once_is_solved(number: int):
    env = ChainEnv(PlayTableEnv(cameras=()), embedded_instructions())
    completed, _, largest = run_chain(env, published()[number])
    env.close()
    assert completed == 5
    assert largest <= 1.0


@pytest.mark.parametrize("on_its_side", [False, True], ids=["upright", "on its side"])
def test_a_stack_is_tried_again_where_the_block_has_fallen_from_the_hand(on_its_side: bool):
    env = PlayTableEnv(cameras=())
    lying = [np.pi / 2, 0.0, 0.4] if on_its_side else [0.0, 0.0, 0.4]
    blocks = [[0.1, -0.12, 0.46, *lying], [0.25, -0.1, 0.46, 0.0, 0.0, 0.0], [-0.2, -0.08, 0.46, 0.0, 0.0, 1.0]]
    scene_obs = np.concatenate([np.zeros(6), *blocks])
    observation, info = env.reset(options={"scene_obs": scene_obs})
    start, expert = as_world_info(info), Expert()
    for _ in range(360):
        observation, _, _, _, info = env.step(
            expert.act(privileged_state(observation, {**info, "task": "stack_block"}))
        )
        if is_solved("stack_block", start, as_world_info(info)):
            return
    pytest.fail("nothing was stacked within 360 steps")


def test_the_expert_works_where_its_actions_are_shaken():
    env = ChainEnv(PlayTableEnv(cameras=()), embedded_instructions())
    generator, noise = np.random.default_rng(0), np.zeros(6)
    solved_tasks = 0
    for number in (10, 860):
        observation, info = env.reset(options={"chain": published()[number]})
        expert, done = Expert(tolerance_m=NOISY_M), False
        while not done:
            # AR(1) noise whose deviation is 0.15 of an action's unit: 3 mm and 7.5 mrad a step.
            noise = 0.8 * noise + 0.15 * 0.6 * generator.standard_normal(6)
            action = expert.act(privileged_state(observation, info))
            assert float(np.abs(action).max()) <= 1.0
            observation, _, terminated, truncated, info = env.step(shaken(action, noise))
            done = terminated or truncated
        solved_tasks += info["completed"]
    env.close()
    assert solved_tasks >= 9


def test_an_exact_expert_waits_in_vain_where_its_actions_are_shaken():
    """The looser tolerance is what makes the difference: the same noise, the same task, far more steps without it."""
    env = ChainEnv(PlayTableEnv(cameras=()), embedded_instructions())
    steps = {}
    for tolerance_m in (EXACT_M, NOISY_M):
        generator, noise = np.random.default_rng(0), np.zeros(6)
        observation, info = env.reset(options={"chain": TURNING})
        expert, done = Expert(tolerance_m=tolerance_m), False
        while not done:
            noise = 0.8 * noise + 0.15 * 0.6 * generator.standard_normal(6)
            action = expert.act(privileged_state(observation, info))
            observation, _, terminated, truncated, info = env.step(shaken(action, noise))
            done = terminated or truncated
        steps[tolerance_m] = info["ended_steps"]
    env.close()
    assert steps[NOISY_M] < 0.6 * steps[EXACT_M]


def test_a_tolerance_of_nothing_is_refused():
    with pytest.raises(ValueError, match="tolerance above 0"):
        Expert(tolerance_m=0.0)


def test_the_expert_refuses_an_unknown_task():
    env = ChainEnv(PlayTableEnv(cameras=()), embedded_instructions())
    observation, info = env.reset(options={"chain": published()[0]})
    with pytest.raises(UnknownNameError, match="Did you mean 'open_drawer'"):
        Expert().act(privileged_state(observation, {**info, "task": "open_drawers"}))
    env.close()
