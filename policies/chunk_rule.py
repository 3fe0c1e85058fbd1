"""The chunk rule: which of the predicted actions are executed, as specs and records write it."""

import math
from dataclasses import dataclass

from calvinbench.envs.names import require_name

MAX_DECAY = 100.0
"""With a larger decay only one prediction would count, and numbers would overflow."""
DEFAULT_DECAY = 0.01
"""ACT's number (arXiv:2304.13705). ACT gives the oldest prediction the most weight, which is -0.01 here."""


@dataclass(frozen=True, slots=True)
class ChunkRule:
    """Which actions of the predicted chunks are executed. `str(rule)` is the text that `parse` reads.

    Attributes:
        kind: `"first"` or `"ensemble"`.
        num_executed: For `"first"`: how many actions of a chunk are executed before the model predicts again. The model
            does not see the frames in between, so its memory holds only the frames at which it predicted.
        decay: For `"ensemble"`, which predicts at every step and executes the mean of all predictions for that step. A
            prediction made `age` steps ago has weight exp(-decay x age). 0 is a plain mean; below 0 the oldest counts
            most, as in ACT. The gripper's probabilities are averaged, and it opens above 0.5.

    Raises:
        UnknownNameError: There is no such kind.
        ValueError: A number is outside its limits.
    """

    kind: str = "first"
    num_executed: int = 1
    decay: float = 0.0

    def __post_init__(self) -> None:
        require_name(self.kind, ("first", "ensemble"), "chunk rule")
        if self.num_executed < 1 or (self.kind == "ensemble" and self.num_executed > 1):
            raise ValueError(
                f"expected num_executed of at least 1, and of 1 for 'ensemble', got {self.num_executed} for "
                f"'{self.kind}'."
            )
        if not abs(self.decay) <= MAX_DECAY or (self.kind == "first" and self.decay):
            raise ValueError(
                f"expected a decay from -{MAX_DECAY:g} to {MAX_DECAY:g}, and 0 for 'first', which averages nothing, "
                f"got {self.decay} for '{self.kind}'."
            )

    @classmethod
    def parse(cls, text: str) -> "ChunkRule":
        """Reads `first`, `first:K`, `ensemble` or `ensemble:M`.

        Raises:
            UnknownNameError: There is no such rule.
            ValueError: The text after the colon is not a number that the rule can use.
        """
        kind, colon, number = text.strip().partition(":")
        require_name(kind, ("first", "ensemble"), "chunk rule")
        if kind == "first":
            if colon and not (number.isascii() and number.isdigit() and int(number) > 0):
                raise ValueError(f"expected chunk rule 'first' or 'first:K' with a whole K above 0, got '{text}'.")
            return cls("first", num_executed=int(number) if colon else 1)
        try:
            decay = float(number) if colon else DEFAULT_DECAY
        except ValueError:
            decay = math.nan
        if not math.isfinite(decay):
            raise ValueError(f"expected chunk rule 'ensemble' or 'ensemble:M' with a finite number M, got '{text}'.")
        return cls("ensemble", decay=decay)

    def __str__(self) -> str:
        if self.kind == "ensemble":
            return f"ensemble:{self.decay}"
        return "first" if self.num_executed == 1 else f"first:{self.num_executed}"
