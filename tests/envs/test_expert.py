"""The scripted expert solves tasks through the policy's own actions."""

from collections import Counter

import numpy as np
import pytest

from calvinbench.envs.chain_env import ChainEnv, privileged_state
from calvinbench.envs.chains import Chain, published
from calvinbench.envs.expert import Expert
from calvinbench.envs.instructions import embedded_instructions
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.tasks import TASKS, solved
from calvinbench.envs.world_info import as_world_info


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


def test_the_expert_refuses_an_unknown_task():
    env = ChainEnv(PlayTableEnv(cameras=()), embedded_instructions())
    observation, info = env.reset(options={"chain": published()[0]})
    with pytest.raises(UnknownNameError, match="Did you mean 'open_drawer'"):
        Expert().act(privileged_state(observation, {**info, "task": "open_drawers"}))
    env.close()
