"""The policy head: fused [LRN] features over time and a state in, action chunks and the next state out."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from calvinbench.policies.batch import require_batch, require_rows


@dataclass(frozen=True, slots=True)
class LSTMHeadConfig:
    """Sizes of the head; the defaults are the seed's.

    Attributes:
        hidden_dim: Width of the LSTM.
        num_layers: Layers of the LSTM.
        dropout: Between layers, in train mode.
        chunk_length: Actions predicted at each step (`fwd_pred_next_n`).
        action_dim: Numbers in an action: six of pose, and the gripper's logit.
    """

    hidden_dim: int = 1024
    num_layers: int = 2
    dropout: float = 0.1
    chunk_length: int = 10
    action_dim: int = 7

    def __post_init__(self) -> None:
        for name in ("hidden_dim", "num_layers", "chunk_length", "action_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}.")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"expected dropout of at least 0 and below 1, got {self.dropout}.")


SEED_HEAD = LSTMHeadConfig()
"""The head of the seed: two layers of 1024, one linear layer to the actions."""
TINY_HEAD = LSTMHeadConfig(hidden_dim=256)
"""The same with a width that suits a tiny VLM."""


@dataclass(frozen=True, slots=True)
class LSTMState:
    """What the LSTM remembers of B worlds."""

    hidden: Float[Tensor, "num_layers B hidden_dim"]
    cell: Float[Tensor, "num_layers B hidden_dim"]

    @property
    def batch_size(self) -> int:
        """Number of worlds."""
        return self.hidden.shape[1]

    def forget(self, rows: Bool[Tensor, " B"]) -> "LSTMState":
        """The state with the marked rows at zero, as if nothing had been seen; this one stays as it is.

        Raises:
            TypeError: The marks are not boolean.
            ValueError: There is not one mark a world.
        """
        require_rows(rows, self.batch_size)
        keep = ~rows.to(self.hidden.device)[None, :, None]
        return LSTMState(torch.where(keep, self.hidden, 0.0), torch.where(keep, self.cell, 0.0))


class HeadOutput(NamedTuple):
    """Raw chunks over a window of time (see `to_actions`), and the state after it."""

    chunks: Float[Tensor, "B T chunk_length action_dim"]
    state: LSTMState


class StepOutput(NamedTuple):
    """Raw chunks of one step, and the state after it."""

    chunks: Float[Tensor, "B chunk_length action_dim"]
    state: LSTMState


class LSTMHead(nn.Module):
    """LSTM over time, then one linear layer to all actions of a chunk."""

    def __init__(self, feature_dim: int, config: LSTMHeadConfig = SEED_HEAD) -> None:
        """Makes the head.

        Args:
            feature_dim: Width of the features, that of the VLM.
            config: Sizes.
        """
        super().__init__()
        self.config = config
        self.lstm = nn.LSTM(
            feature_dim,
            config.hidden_dim,
            num_layers=config.num_layers,
            # torch warns of a dropout that has no place to act.
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            batch_first=True,
        )
        self.linear = nn.Linear(config.hidden_dim, config.chunk_length * config.action_dim)

    def initial_state(self, batch_size: int) -> LSTMState:
        """Zeros: nothing seen yet."""
        shape = (self.config.num_layers, batch_size, self.config.hidden_dim)
        return LSTMState(self.linear.weight.new_zeros(shape), self.linear.weight.new_zeros(shape))

    def forward(self, features: Float[Tensor, "B T feature_dim"], state: LSTMState | None = None) -> HeadOutput:
        """Runs over a window of time.

        Args:
            features: Fused [LRN] features.
            state: What was seen before the window; None for nothing.

        Raises:
            ValueError: The state is of another number of worlds.
        """
        state = state or self.initial_state(features.shape[0])
        require_batch("a state", state.batch_size, features.shape[0])
        outputs, (hidden, cell) = self.lstm(features, (state.hidden, state.cell))  # (B, T, hidden_dim)
        chunks = self.linear(outputs).unflatten(-1, (self.config.chunk_length, self.config.action_dim))
        return HeadOutput(chunks, LSTMState(hidden, cell))

    def step(self, features: Float[Tensor, "B feature_dim"], state: LSTMState | None = None) -> StepOutput:
        """Runs one step of time."""
        chunks, next_state = self.forward(features[:, None], state)
        return StepOutput(chunks[:, 0], next_state)


def to_actions(chunks: Float[Tensor, "*batch action_dim"]) -> Float[Tensor, "*batch action_dim"]:
    """From the head's raw numbers to actions that a world accepts.

    The pose goes through tanh into [-1, 1]; the gripper's logit becomes +1 (open) if it is positive, else -1 (close).
    """
    gripper = torch.where(chunks[..., -1:] > 0, 1.0, -1.0).to(chunks.dtype)
    return torch.cat([chunks[..., :-1].tanh(), gripper], dim=-1)
