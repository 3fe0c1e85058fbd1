"""Whether a data set has the tasks that are to be trained on."""

from collections.abc import Sequence

from calvinbench.policies.demonstrations.demonstrations import DataError, Demonstrations


def require_tasks(tasks: Sequence[str], data: Demonstrations) -> None:
    """Refuses tasks that the data do not have; a validation split may be too small for all of them.

    Raises:
        DataError: The data has no demonstration of a task.
    """
    known = {annotation.task for annotation in data.annotations}
    missing = [task for task in tasks if task not in known]
    if missing:
        raise DataError(
            f"expected demonstrations of each of the tasks to train on in '{data.description.path}', found none of "
            f"{', '.join(missing)}. Leave them out of --tasks, or record some: calvinbench data check shows what "
            "there is."
        )
