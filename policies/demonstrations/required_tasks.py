"""Checks that a data set has the tasks to train on."""

from collections.abc import Sequence
from difflib import get_close_matches

from calvinbench.policies.demonstrations.demonstrations import DataError, Demonstrations


def require_tasks(tasks: Sequence[str], data: Demonstrations) -> None:
    """Raises an error for tasks that the data lack. A validation split may be too small to have all of them.

    Args:
        tasks: Tasks to train on, by the names that the data set has.
        data: The training split.

    Raises:
        DataError: The data have no demonstration of a task.
    """
    known = {annotation.task for annotation in data.annotations}
    missing = [task for task in tasks if task not in known]
    if missing:
        guesses = [(task, get_close_matches(task, sorted(known), n=1, cutoff=0.5)) for task in missing]
        hint = "".join(f" Did you mean '{found[0]}' instead of '{task}'?" for task, found in guesses if found)
        raise DataError(
            f"expected demonstrations of each of the tasks to train on in '{data.description.path}', found none of "
            f"{', '.join(missing)}.{hint} Leave them out of --tasks, or record some: calvinbench data check shows what "
            "there is."
        )
