"""A small causal transformer over time, which attends to the last frames instead of carrying a state."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from calvinbench.policies.batch import require_batch
from calvinbench.policies.heads.config import HeadConfig
from calvinbench.policies.heads.decoder import make_decoder
from calvinbench.policies.heads.frame_buffer import FrameBuffer
from calvinbench.policies.heads.head import Head, HeadOutput, HeadState, StepOutput, require_state


class TransformerHead(Head):
    """Causal attention over at most `max_window` frames, then a decoder.

    Positions are learned and counted from the start of the window. The memory is the frames themselves. When there are
    more than `max_window`, the oldest one is dropped and all positions move by one.
    """

    span_kinds = ("window",)

    def __init__(self, feature_dim: int, config: HeadConfig) -> None:
        """Makes the head.

        Args:
            feature_dim: Width of the features, that of the VLM.
            config: Settings.
        """
        super().__init__(feature_dim, config)
        self.input = nn.Linear(feature_dim, config.hidden_dim)
        self.positions = nn.Parameter(0.02 * torch.randn(config.max_window, config.hidden_dim))
        # Not nn.TransformerEncoder, because it initialises all layers with the same weights.
        self.layers = nn.ModuleList(_layer(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.hidden_dim)
        self.decoder = make_decoder(config)

    @property
    @override
    def max_window(self) -> int:
        """Maximal number of frames that it attends to, the current one included."""
        return self.config.max_window

    @override
    def initial_state(self, batch_size: int) -> FrameBuffer:
        """No frames yet."""
        return FrameBuffer.empty(batch_size, self.max_window, self.positions, self.feature_dim)

    @override
    def forward(self, features: Float[Tensor, "B T feature_dim"], state: HeadState | None = None) -> HeadOutput:
        """Runs over a window of time.

        It takes one pass if all frames fit into `max_window`. Otherwise each frame has its own window and its own pass,
        which is slow but the same as stepping.
        """
        before = self.initial_state(features.shape[0]) if state is None else require_state(state, FrameBuffer)
        require_batch("a state", before.batch_size, features.shape[0])
        num_frames = before.longest + features.shape[1]
        if num_frames > self.max_window:
            return self._forward_by_steps(features, before)
        buffer = before.extend(features)
        hidden = self._encoded(buffer.frames[:, :num_frames])
        rows = torch.arange(features.shape[0], device=features.device)[:, None]
        times = before.lengths.to(features.device)[:, None] + torch.arange(features.shape[1], device=features.device)
        return HeadOutput(self.decoder(hidden[rows, times]), buffer)

    @override
    def step(self, features: Float[Tensor, "B feature_dim"], state: HeadState | None = None) -> StepOutput:
        """Runs one step of time, over the remembered frames."""
        before = self.initial_state(features.shape[0]) if state is None else require_state(state, FrameBuffer)
        buffer = before.append(features)
        hidden = self._encoded(buffer.frames[:, : buffer.longest])
        return StepOutput(self.decoder(buffer.newest(hidden)), buffer)

    def _forward_by_steps(self, features: Float[Tensor, "B T feature_dim"], state: FrameBuffer) -> HeadOutput:
        """The window, one frame after the other."""
        chunks: list[Tensor] = []
        now: HeadState = state
        for frame in features.unbind(dim=1):
            output = self.step(frame, now)
            chunks.append(output.chunks)
            now = output.state
        return HeadOutput(torch.stack(chunks, dim=1), now)

    def _encoded(self, frames: Float[Tensor, "B M feature_dim"]) -> Float[Tensor, "B M hidden_dim"]:
        """The output at each frame, which depends on that frame and those before it."""
        num_frames = frames.shape[1]
        hidden = self.input(frames) + self.positions[:num_frames]
        later = torch.ones(num_frames, num_frames, dtype=torch.bool, device=frames.device).triu(diagonal=1)
        for layer in self.layers:
            hidden = layer(hidden, src_mask=later, is_causal=True)
        return self.norm(hidden)  # type: ignore[no-any-return]


def _layer(config: HeadConfig) -> nn.TransformerEncoderLayer:
    """One layer: attention, then two linear layers four times as wide between."""
    return nn.TransformerEncoderLayer(
        config.hidden_dim,
        config.num_heads,
        dim_feedforward=4 * config.hidden_dim,
        dropout=config.dropout,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
