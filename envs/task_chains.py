"""Each task alone: chains of one subtask, from the evaluation's initial states that allow it."""

from collections.abc import Sequence

import numpy as np

from calvinbench.envs.chains import Chain, initial_states, next_states
from calvinbench.envs.names import require_name
from calvinbench.envs.tasks import TASKS


def single_task_chains(tasks: Sequence[str], states_per_task: int) -> tuple[Chain, ...]:
    """Chains of one subtask each, task after task.

    Args:
        tasks: Names of tasks.
        states_per_task: How many of the 192 initial states for each, spread evenly over those that allow the task;
            all of them where there are fewer.

    Raises:
        UnknownNameError: There is no such task.
        ValueError: No initial state allows a task, for it needs what another task leaves behind.
    """
    return tuple(
        Chain(state, (require_name(task, TASKS, "task"),))
        for task in tasks
        for state in _spread(allowing_states(task), states_per_task)
    )


def allowing_states(task: str) -> list[int]:
    """Which of the 192 initial states allow a task, by number.

    Raises:
        ValueError: None does.
    """
    allowing = [number for number, state in enumerate(initial_states()) if len(next_states(state, task)) == 1]
    if not allowing:
        raise ValueError(
            f"expected tasks that can be done in an initial state, got '{task}', which needs what another task leaves "
            "behind. Run it in chains: leave --tasks out."
        )
    return allowing


def _spread(numbers: Sequence[int], count: int) -> list[dict[str, int | str]]:
    """The initial states at evenly spread places of a list."""
    places = np.linspace(0, len(numbers) - 1, min(count, len(numbers))).round().astype(int)
    return [dict(initial_states()[numbers[place]]) for place in places]
