"""How predicted chunks become actions: execute one, execute several, or average all predictions for this step.

Rows of one batch may be at different places of their chunks. A step of B worlds is

    rows = executor.needs_prediction(state)
    chunks = ... the model, only for the marked rows ...
    actions, state = executor.advance(state, chunks)
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from calvinbench.policies.batch import require_batch, require_rows
from calvinbench.policies.chunk_rule import ChunkRule
from calvinbench.policies.heads.actions import ACTION_DIM, POSE_DIM, executed_actions


@dataclass(frozen=True, slots=True)
class ChunkState:
    """The predictions that B worlds may still execute, newest first, on the CPU.

    Attributes:
        chunks: As the head predicted them; zeros if there is none.
        ages: How many steps before the next step each chunk was predicted, which is also the number of its next
            action; chunk_length if none of its actions is left.
    """

    chunks: Float64[Tensor, "B num_kept chunk_length 7"]
    ages: Int64[Tensor, "B num_kept"]

    @property
    def batch_size(self) -> int:
        """Number of worlds."""
        return self.ages.shape[0]

    def put(self, rows: Bool[Tensor, " B"], part: "ChunkState") -> "ChunkState":
        """The state with the marked rows replaced by those of `part`."""
        require_rows(rows, self.batch_size)
        require_batch("a state", part.batch_size, int(rows.sum()))
        chunks, ages = self.chunks.clone(), self.ages.clone()
        chunks[rows], ages[rows] = part.chunks, part.ages
        return ChunkState(chunks, ages)


class ExecutedStep(NamedTuple):
    """The actions that B worlds execute, and the next state."""

    actions: Float64[Tensor, "B 7"]
    state: ChunkState


class ChunkExecutor:
    """Applies a rule to chunks of one length."""

    def __init__(self, rule: ChunkRule, chunk_length: int) -> None:
        """Checks that the rule fits the chunks.

        Args:
            rule: The rule.
            chunk_length: Actions in a chunk.

        Raises:
            ValueError: The rule executes more actions than a chunk has.
        """
        if rule.num_executed > chunk_length:
            raise ValueError(
                f"expected a chunk rule that executes at most the {chunk_length} actions of a chunk, got '{rule}'. "
                f"Write 'first:{chunk_length}' or less, or train with a longer chunk."
            )
        self.rule = rule
        self.chunk_length = chunk_length

    def initial_state(self, batch_size: int) -> ChunkState:
        """Nothing is pending."""
        num_kept = self.chunk_length if self.rule.kind == "ensemble" else 1
        chunks = torch.zeros(batch_size, num_kept, self.chunk_length, ACTION_DIM, dtype=torch.float64)
        return ChunkState(chunks, torch.full((batch_size, num_kept), self.chunk_length))

    def forget(self, state: ChunkState, rows: Bool[Tensor, " B"]) -> ChunkState:
        """The state with nothing pending in the marked rows. The other rows are unchanged.

        Raises:
            TypeError: The marks are not boolean.
            ValueError: There is not exactly one mark a world.
        """
        require_rows(rows, state.batch_size)
        marks = rows.to(state.ages.device)
        return ChunkState(
            torch.where(marks[:, None, None, None], 0.0, state.chunks),
            torch.where(marks[:, None], self.chunk_length, state.ages),
        )

    def needs_prediction(self, state: ChunkState) -> Bool[Tensor, " B"]:
        """Which rows need a prediction of the model at the next step."""
        return state.ages[:, 0] >= self.rule.num_executed

    def advance(self, state: ChunkState, chunks: Float[Tensor, "num_asked chunk_length 7"]) -> ExecutedStep:
        """One step.

        Args:
            state: What the previous step returned, or `initial_state`.
            chunks: What the head predicted for the rows that `needs_prediction` marks, in their order.

        Raises:
            ValueError: The chunks are not those of the rows that need one, or have another length.
        """
        asked = self.needs_prediction(state)
        wanted = (int(asked.sum()), self.chunk_length, ACTION_DIM)
        if tuple(chunks.shape) != wanted:
            raise ValueError(
                f"expected chunks of shape {wanted}, got {tuple(chunks.shape)}. "
                "Pass one chunk for each row that needs_prediction marks, and none for other rows."
            )
        kept, ages = state.chunks.clone(), state.ages.clone()
        new = chunks.detach().to(kept)[:, None]
        kept[asked] = torch.cat([new, kept[asked, :-1]], dim=1)
        ages[asked] = torch.cat([torch.zeros_like(ages[asked, :1]), ages[asked, :-1]], dim=1)
        actions = executed_actions(self._mean(kept, ages))
        return ExecutedStep(actions, ChunkState(kept, (ages + 1).clamp(max=self.chunk_length)))

    def _mean(
        self, chunks: Float64[Tensor, "B num_kept chunk_length 7"], ages: Int64[Tensor, "B num_kept"]
    ) -> Float64[Tensor, "B 7"]:
        """The weighted mean of all predictions for this step. The gripper is above 0 if it opens."""
        valid = ages < self.chunk_length
        entry = ages.clamp(max=self.chunk_length - 1)[..., None, None].expand(-1, -1, 1, ACTION_DIM)
        candidates = chunks.gather(2, entry)[:, :, 0]  # (B, num_kept, 7)
        # tanh(x / 2) = 2 sigmoid(x) - 1: its mean is above 0 if the mean probability is above 0.5. With one prediction
        # alone it keeps the logit's sign even if the probability rounds to 0.5.
        votes = torch.cat([candidates[..., :POSE_DIM], (candidates[..., POSE_DIM:] / 2).tanh()], dim=-1)
        weights = torch.softmax((-self.rule.decay * ages.double()).masked_fill(~valid, -math.inf), dim=1)
        return (weights[..., None] * votes).sum(dim=1)
