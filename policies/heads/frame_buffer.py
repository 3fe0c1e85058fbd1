"""The last N features of B worlds, as a value. Its rows may begin at different times."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from calvinbench.policies.batch import require_batch, require_rows
from calvinbench.policies.heads.head import HeadState, require_state


@dataclass(frozen=True, slots=True)
class FrameBuffer:
    """Features of the newest frames, oldest first. Each row begins at place 0.

    Unused places come after a row's last frame, so that they do not affect the output of a causal head at that frame.

    Attributes:
        frames: Features; zeros after a row's last frame.
        lengths: Number of frames that each row holds, 0..N.
    """

    frames: Float[Tensor, "B N feature_dim"]
    lengths: Int[Tensor, " B"]

    @classmethod
    def empty(cls, batch_size: int, num_frames: int, like: Float[Tensor, "..."], feature_dim: int) -> "FrameBuffer":
        """A buffer without frames.

        Args:
            batch_size: Number of worlds.
            num_frames: Number of frames that it can hold.
            like: A tensor with the device and the dtype of the buffer.
            feature_dim: Width of the features.
        """
        frames = like.new_zeros((batch_size, num_frames, feature_dim))
        return cls(frames, torch.zeros(batch_size, dtype=torch.long, device=like.device))

    @property
    def batch_size(self) -> int:
        """Number of worlds."""
        return self.frames.shape[0]

    @property
    def num_frames(self) -> int:
        """Number of frames that it can hold."""
        return self.frames.shape[1]

    @property
    def longest(self) -> int:
        """Number of frames in the fullest row."""
        return int(self.lengths.max())

    def extend(self, features: Float[Tensor, "B T feature_dim"]) -> "FrameBuffer":
        """The buffer after T more frames, on their device and with their dtype. A full row drops its oldest frames.

        Raises:
            ValueError: The features are for another number of worlds.
        """
        require_batch("a state", self.batch_size, features.shape[0])
        num_new = features.shape[1]
        everything = torch.cat([self.frames.to(features), features], dim=1)  # (B, N + T, feature_dim)
        held = self.lengths.to(features.device)[:, None]
        total = held + num_new
        dropped = (total - self.num_frames).clamp(min=0)
        order = torch.arange(self.num_frames, device=features.device) + dropped  # (B, N), counted from the oldest
        # The new frames come after all N places of the old ones, used or not.
        place = torch.where(order < held, order, order - held + self.num_frames).clamp(max=everything.shape[1] - 1)
        chosen = everything.gather(1, place[..., None].expand(-1, -1, features.shape[-1]))
        frames = torch.where((order < total)[..., None], chosen, 0.0)
        return FrameBuffer(frames, (total - dropped)[:, 0])

    def append(self, features: Float[Tensor, "B feature_dim"]) -> "FrameBuffer":
        """The buffer after one more frame."""
        return self.extend(features[:, None])

    def newest(self, values: Float[Tensor, "B M *value"]) -> Float[Tensor, " B *value"]:
        """From one value a frame, oldest first, the value of each row's last frame. Every row must hold a frame."""
        rows = torch.arange(self.batch_size, device=values.device)
        return values[rows, self.lengths.to(values.device) - 1]

    def forget(self, rows: Bool[Tensor, " B"]) -> "FrameBuffer":
        """The buffer with the marked rows empty. This buffer does not change.

        Raises:
            TypeError: The marks are not boolean.
            ValueError: There is not exactly one mark a world.
        """
        keep = ~self._marks(rows)
        return FrameBuffer(torch.where(keep[:, None, None], self.frames, 0.0), torch.where(keep, self.lengths, 0))

    def take(self, rows: Bool[Tensor, " B"]) -> "FrameBuffer":
        """The buffer of the marked rows alone."""
        marks = self._marks(rows)
        return FrameBuffer(self.frames[marks], self.lengths[marks])

    def put(self, rows: Bool[Tensor, " B"], part: HeadState) -> "FrameBuffer":
        """The buffer with the marked rows replaced by those of `part`, with the device and the dtype of `part`."""
        part = require_state(part, FrameBuffer)
        marks = self._marks(rows).to(part.frames.device)
        require_batch("a state", part.batch_size, int(marks.sum()))
        frames, lengths = self.frames.to(part.frames, copy=True), self.lengths.to(part.lengths, copy=True)
        frames[marks], lengths[marks] = part.frames, part.lengths
        return FrameBuffer(frames, lengths)

    def _marks(self, rows: Bool[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """The checked marks, on the device of the buffer."""
        require_rows(rows, self.batch_size)
        return rows.to(self.frames.device)
