"""The head of the seed and of RoboVLMs: an LSTM over time and a decoder."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from typing_extensions import override

from calvinbench.policies.batch import require_batch, require_rows
from calvinbench.policies.heads.config import HeadConfig
from calvinbench.policies.heads.decoder import make_decoder
from calvinbench.policies.heads.head import Head, HeadOutput, HeadState, require_state


@dataclass(frozen=True, slots=True)
class LSTMState:
    """The hidden state of the LSTM for B worlds."""

    hidden: Float[Tensor, "num_layers B hidden_dim"]
    cell: Float[Tensor, "num_layers B hidden_dim"]

    @property
    def batch_size(self) -> int:
        """Number of worlds."""
        return self.hidden.shape[1]

    def forget(self, rows: Bool[Tensor, " B"]) -> "LSTMState":
        """The state with the marked rows at zero, as for new worlds. This state does not change.

        Raises:
            TypeError: The marks are not boolean.
            ValueError: There is not exactly one mark a world.
        """
        keep = ~self._marks(rows)[None, :, None]
        return LSTMState(torch.where(keep, self.hidden, 0.0), torch.where(keep, self.cell, 0.0))

    def take(self, rows: Bool[Tensor, " B"]) -> "LSTMState":
        """The state of the marked rows alone."""
        marks = self._marks(rows)
        return LSTMState(self.hidden[:, marks], self.cell[:, marks])

    def put(self, rows: Bool[Tensor, " B"], part: HeadState) -> "LSTMState":
        """The state with the marked rows replaced by those of `part`."""
        marks = self._marks(rows)
        part = require_state(part, LSTMState)
        require_batch("a state", part.batch_size, int(marks.sum()))
        hidden, cell = self.hidden.clone(), self.cell.clone()
        hidden[:, marks], cell[:, marks] = part.hidden, part.cell
        return LSTMState(hidden, cell)

    def _marks(self, rows: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """The checked marks, on the device of the state."""
        require_rows(rows, self.batch_size)
        return rows.to(self.hidden.device)


class LSTMHead(Head):
    """LSTM over time and a decoder. Its state can be carried through any number of steps."""

    span_kinds = ("unbounded", "window")

    def __init__(self, feature_dim: int, config: HeadConfig) -> None:
        """Makes the head.

        Args:
            feature_dim: Width of the features, that of the VLM.
            config: Settings.
        """
        super().__init__(feature_dim, config)
        self.lstm = nn.LSTM(
            feature_dim,
            config.hidden_dim,
            num_layers=config.num_layers,
            # torch warns if dropout has no effect because there is only one layer.
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            batch_first=True,
        )
        self.decoder = make_decoder(config)

    @override
    def initial_state(self, batch_size: int) -> LSTMState:
        """Zeros."""
        shape = (self.config.num_layers, batch_size, self.config.hidden_dim)
        weight = next(self.lstm.parameters())
        return LSTMState(weight.new_zeros(shape), weight.new_zeros(shape))

    @override
    def forward(self, features: Float[Tensor, "B T feature_dim"], state: HeadState | None = None) -> HeadOutput:
        before = self.initial_state(features.shape[0]) if state is None else require_state(state, LSTMState)
        require_batch("a state", before.batch_size, features.shape[0])
        if _autocast_fails(features):
            with torch.autocast("cpu", enabled=False):
                outputs, (hidden, cell) = self.lstm(features.to(before.hidden.dtype), (before.hidden, before.cell))
        else:
            outputs, (hidden, cell) = self.lstm(features, (before.hidden, before.cell))  # (B, T, hidden_dim)
        return HeadOutput(self.decoder(outputs), LSTMState(hidden, cell))


def _autocast_fails(features: Tensor) -> bool:
    """Whether oneDNN raises an error for an LSTM in 16 bits: under autocast on a processor without bf16 instructions.

    The LSTM is then computed with its weights' 32 bits, and everything around it still with 16.
    """
    return (
        features.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
