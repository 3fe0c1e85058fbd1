"""The interface of objects that follow a training, such as a progress bar or an evaluation on chains."""

from typing import Protocol, runtime_checkable

from calvinbench.policies.training.log import LogLine
from calvinbench.policies.training.preparation import Training


@runtime_checkable
class Subscriber(Protocol):
    """Follows a training. Only the main process calls these methods."""

    def began(self, training: Training) -> None:
        """Called before the first step, and again each time that the training resumes."""

    def saved(self, training: Training, step: int) -> float | None:
        """Called after each checkpoint is saved, and on resuming if that checkpoint has no average length yet.

        Returns:
            The average length of the chains that were run with the checkpoint; None if none were run.
        """

    def logged(self, line: LogLine) -> None:
        """Called after each line of the log. If a checkpoint is saved at the same step, `saved` is called first."""

    def ended(self) -> None:
        """Called after the last step, or when the training stops early."""
