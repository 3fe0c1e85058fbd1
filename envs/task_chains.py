"""Single tasks: chains of one subtask, from the evaluation's initial states.

Some tasks need a state that no initial state has: a block in the gripper, on another block, or in the drawer. The
expert reaches it first, by other tasks.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np

from calvinbench.envs.chains import Chain, initial_states, next_states
from calvinbench.envs.lead_ins import lead_ins
from calvinbench.envs.names import require_name
from calvinbench.envs.tasks import TASKS


def single_task_chains(tasks: Sequence[str], states_per_task: int) -> tuple[Chain, ...]:
    """Chains of one subtask each, task after task.

    Args:
        tasks: Names of tasks.
        states_per_task: How many of the 192 initial states to use for each task, spread evenly over those that allow
            the task or from which other tasks lead to it. If there are fewer, all are used.

    Raises:
        UnknownNameError: There is no such task.
    """
    return tuple(
        chain for task in tasks for chain in _spread(_chains(require_name(task, TASKS, "task")), states_per_task)
    )


@cache
def _chains(task: str) -> tuple[Chain, ...]:
    """One chain for each initial state from which the task can be reached, in their order.

    If there are several ways to reach it, the states use them in turn.
    """
    chains: list[Chain] = []
    for state in initial_states():
        if len(next_states(state, task)) == 1:
            chains.append(Chain(state, (task,)))
    if chains:
        return tuple(chains)
    for number, state in enumerate(initial_states()):
        ways = list(lead_ins(state, task))
        if ways:
            chains.append(Chain(state, (task,), ways[number % len(ways)]))
    return tuple(chains)


def _spread(chains: Sequence[Chain], count: int) -> list[Chain]:
    """Some of the chains, evenly spread."""
    places = np.linspace(0, len(chains) - 1, min(count, len(chains))).round().astype(int)
    return [chains[place] for place in places]
