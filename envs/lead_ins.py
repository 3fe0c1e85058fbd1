"""Lead-ins: tasks that the expert solves first, to reach a state in which another task is possible.

CALVIN's multi-task test starts from recorded states in which a task's precondition holds. Here the expert reaches them.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import gymnasium
import numpy as np

from calvinbench.envs.chains import SymbolicState, next_states
from calvinbench.envs.observation import ActionConvention
from calvinbench.envs.tasks import TASKS, is_solved
from calvinbench.envs.world import traits_of
from calvinbench.envs.world_info import as_world_info, privileged_state

_MAX_LEAD_IN = 4
_MAX_STEPS = 360
_NOT_LEADING = ("rotate_", "push_red", "push_blue", "push_pink", "unstack_")
"""Tasks that no other task needs as a lead-in. After unstacking, a block may be in the air."""

_Frozen = tuple[tuple[str, int | str], ...]
"""The items of a symbolic state, in order."""


class LeadInError(RuntimeError):
    """The expert did not reach the state in which a task begins."""


def lead_ins(state: SymbolicState, task: str) -> Iterator[tuple[str, ...]]:
    """The shortest sequences of tasks after which another task can begin, however each of them is done.

    Args:
        state: The state to start from.
        task: The task. If it can begin in this state, the only sequence is the empty one. If no four tasks lead to it,
            there is none.
    """
    begun = frozenset([tuple(state.items())])
    frontier: list[tuple[frozenset[_Frozen], tuple[str, ...]]] = [(begun, ())]
    seen = {begun}
    for _ in range(_MAX_LEAD_IN + 1):
        found = [path for states, path in frontier if all(_after(one, task) for one in states)]
        if found:
            yield from found
            return
        following = []
        for states, path in frontier:
            for earlier in TASKS:
                if earlier.startswith(_NOT_LEADING):
                    continue
                outcomes = [_after(one, earlier) for one in states]
                after = frozenset(one for outcome in outcomes for one in outcome)
                if all(outcomes) and after not in seen:
                    following.append((after, (*path, earlier)))
        seen |= {states for states, _ in following}
        frontier = following


@cache
def _after(state: _Frozen, task: str) -> tuple[_Frozen, ...]:
    """`next_states` of a state, cached, because searches from different states meet the same ones."""
    return tuple(tuple(following.items()) for following in next_states(dict(state), task))


def play_lead_in(
    env: gymnasium.Env[dict[str, np.ndarray], np.ndarray],
    observation: dict[str, np.ndarray],
    info: dict[str, Any],
    tasks: Sequence[str],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Solves tasks with the expert in a world that was just reset. Returns the last observation and info.

    Raises:
        LeadInError: The expert does not solve one of them, or the world has another action convention.
    """
    from calvinbench.envs.expert.expert import Expert

    convention = traits_of(env).action_convention
    if convention != ActionConvention.REL_ACTIONS:
        raise LeadInError(
            f"expected a world with '{ActionConvention.REL_ACTIONS}', because the expert must first reach a state "
            f"for this task, got one with '{convention}'. Run tasks that an initial state allows, or chains."
        )
    for task in tasks:
        expert, start = Expert(), as_world_info(info)
        for _ in range(_MAX_STEPS):
            action = expert.act(privileged_state(observation, {**info, "task": task}))
            observation, _, _, _, info = env.step(action)
            if is_solved(task, start, as_world_info(info)):
                break
        else:
            raise LeadInError(
                f"expected the expert to reach a state for this task by {' and '.join(tasks)}, but it did not solve "
                f"'{task}' in {_MAX_STEPS} steps. No policy is judged by this chain. Choose another number of --chains."
            )
    return observation, info
