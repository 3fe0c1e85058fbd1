"""Memory spans over any head. Each frame passes the VLM once, and only its feature is kept.

`unbounded` keeps the head's own state. `window:N` uses exactly the last N features, as RoboVLMs evaluates. `none` is
for heads that look at one frame alone.
"""

from abc import ABC, abstractmethod

from jaxtyping import Bool, Float
from torch import Tensor
from typing_extensions import override

from calvinbench.policies.heads.frame_buffer import FrameBuffer
from calvinbench.policies.heads.head import Head, HeadState, StepOutput, require_state
from calvinbench.policies.policy import Memory


class HeadMemory(ABC):
    """A head with its memory."""

    def __init__(self, span: str, head: Head) -> None:
        """Keeps the head, without copying it.

        Args:
            span: As `policy.Memory` spells it.
            head: The head.
        """
        self.span = span
        self.head = head

    @abstractmethod
    def initial_state(self, batch_size: int) -> HeadState:
        """The memory of `batch_size` worlds that have seen nothing yet."""

    @abstractmethod
    def step(self, features: Float[Tensor, "B feature_dim"], state: HeadState) -> StepOutput:
        """One step of time.

        Args:
            features: Fused [LRN] features of the present frame.
            state: What the previous step returned, or `initial_state`.

        Raises:
            TypeError: The state belongs to another kind of memory.
            ValueError: The state is for another number of worlds.
        """

    def forget(self, state: HeadState, rows: Bool[Tensor, " B"]) -> HeadState:
        """The state in which the marked rows have seen nothing. The other rows are unchanged.

        Raises:
            TypeError: The marks are not boolean.
            ValueError: There is not exactly one mark a world.
        """
        return state.forget(rows)


class CarriedMemory(HeadMemory):
    """The head's own state is carried from step to step."""

    @override
    def initial_state(self, batch_size: int) -> HeadState:
        """The head's."""
        return self.head.initial_state(batch_size)

    @override
    def step(self, features: Float[Tensor, "B feature_dim"], state: HeadState) -> StepOutput:
        return self.head.step(features, state)


class WindowMemory(HeadMemory):
    """The head runs over exactly the last N features of each row, from a new state at every step."""

    def __init__(self, num_frames: int, head: Head) -> None:
        """Keeps the head.

        Args:
            num_frames: Number of frames, the current one included.
            head: The head.
        """
        super().__init__(f"window:{num_frames}", head)
        self.num_frames = num_frames

    @override
    def initial_state(self, batch_size: int) -> FrameBuffer:
        """No frames yet."""
        return FrameBuffer.empty(batch_size, self.num_frames, next(self.head.parameters()), self.head.feature_dim)

    @override
    def step(self, features: Float[Tensor, "B feature_dim"], state: HeadState) -> StepOutput:
        """The head over the last N features.

        It always runs over N places, used or not, so that every step costs the same. Heads are causal, so that a row's
        output at its last frame does not depend on the unused places behind it.
        """
        buffer = require_state(state, FrameBuffer).append(features)
        chunks = self.head(buffer.frames).chunks  # (B, N, chunk_length, 7)
        return StepOutput(buffer.newest(chunks), buffer)


def make_memory(span: str, head: Head) -> HeadMemory:
    """Makes the memory of a span.

    Args:
        span: `"unbounded"`, `"window:N"` or `"none"`.
        head: The head. It says which spans it can have.

    Raises:
        ValueError: There is no such span, the head cannot have it, or N is more than the head can look at.
    """
    kind, _, number = Memory(span=span).span.partition(":")
    too_long = kind == "window" and head.max_window is not None and int(number) > head.max_window
    if kind not in head.span_kinds or too_long:
        upto = "" if head.max_window is None else f" with N up to {head.max_window}"
        spellings = {"window": f"'window:N'{upto}"}
        possible = " or ".join(spellings.get(known, f"'{known}'") for known in head.span_kinds)
        raise ValueError(
            f"expected memory span {possible} for a head of type '{head.config.type}', got '{span}'. "
            f"Its own is '{head.default_span}'."
        )
    return WindowMemory(int(number), head) if kind == "window" else CarriedMemory(span, head)
