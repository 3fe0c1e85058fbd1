"""A head without memory, with layers on each frame's feature alone. It shows what a history is worth."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor, nn
from typing_extensions import override

from calvinbench.policies.batch import require_batch, require_rows
from calvinbench.policies.heads.config import HeadConfig
from calvinbench.policies.heads.decoder import make_decoder
from calvinbench.policies.heads.head import Head, HeadOutput, HeadState, require_state


@dataclass(frozen=True, slots=True)
class NoState:
    """The empty memory of B worlds.

    Attributes:
        batch_size: Number of worlds.
    """

    batch_size: int

    def forget(self, rows: Bool[Tensor, " B"]) -> "NoState":
        """The same state, because there is nothing to forget.

        Raises:
            TypeError: The marks are not boolean.
            ValueError: There is not exactly one mark a world.
        """
        require_rows(rows, self.batch_size)
        return self

    def take(self, rows: Bool[Tensor, " B"]) -> "NoState":
        """The state of the marked rows alone."""
        require_rows(rows, self.batch_size)
        return NoState(int(rows.sum()))

    def put(self, rows: Bool[Tensor, " B"], part: HeadState) -> "NoState":
        """The same state, because `part` has no memory either."""
        require_batch("a state", require_state(part, NoState).batch_size, self.take(rows).batch_size)
        return self


class FeedforwardHead(Head):
    """Linear layers, each with ReLU and dropout, then a decoder."""

    span_kinds = ("none",)

    def __init__(self, feature_dim: int, config: HeadConfig) -> None:
        """Makes the head.

        Args:
            feature_dim: Width of the features, that of the VLM.
            config: Settings.
        """
        super().__init__(feature_dim, config)
        layers: list[nn.Module] = []
        for layer in range(config.num_layers):
            width = config.hidden_dim if layer else feature_dim
            layers += [nn.Linear(width, config.hidden_dim), nn.ReLU(), nn.Dropout(config.dropout)]
        self.layers = nn.Sequential(*layers)
        self.decoder = make_decoder(config)

    @override
    def initial_state(self, batch_size: int) -> NoState:
        """The empty memory."""
        return NoState(batch_size)

    @override
    def forward(self, features: Float[Tensor, "B T feature_dim"], state: HeadState | None = None) -> HeadOutput:
        """Runs over a window of time, each frame on its own."""
        before = self.initial_state(features.shape[0]) if state is None else require_state(state, NoState)
        require_batch("a state", before.batch_size, features.shape[0])
        return HeadOutput(self.decoder(self.layers(features)), before)
