"""The interface of policy heads: features of B worlds and a state in, action chunks and the next state out."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from calvinbench.policies.heads.config import HeadConfig


@runtime_checkable
class HeadState(Protocol):
    """What a head remembers of B worlds: a value, never changed in place."""

    @property
    def batch_size(self) -> int:
        """Number of worlds."""
        ...

    def forget(self, rows: Bool[Tensor, " B"]) -> "HeadState":
        """The state with the marked rows as if nothing had been seen; the others are untouched."""
        ...

    def take(self, rows: Bool[Tensor, " B"]) -> "HeadState":
        """The state of the marked rows alone, in their order."""
        ...

    def put(self, rows: Bool[Tensor, " B"], part: "HeadState") -> "HeadState":
        """The state with the marked rows replaced by those of `part`: the way back from `take`."""
        ...


class HeadOutput(NamedTuple):
    """Chunks over a window of time, and the state after it.

    The last axis holds six numbers of pose, in [-1, 1] with the activation tanh, and the gripper's logit
    (`actions.executed_actions` makes actions of them).
    """

    chunks: Float[Tensor, "B T chunk_length 7"]
    state: HeadState


class StepOutput(NamedTuple):
    """Chunks of one step, and the state after it."""

    chunks: Float[Tensor, "B chunk_length 7"]
    state: HeadState


class Head(nn.Module, ABC):
    """Base of all heads. Running over a window and stepping through it give the same chunks."""

    span_kinds: ClassVar[tuple[str, ...]]
    """Which memory spans it can serve (`memory.make_memory`): some of `"none"`, `"unbounded"` and `"window"`."""

    def __init__(self, feature_dim: int, config: HeadConfig) -> None:
        """Keeps what the head is made of.

        Args:
            feature_dim: Width of the features, that of the VLM.
            config: Settings.
        """
        super().__init__()
        self.feature_dim = feature_dim
        self.config = config

    @property
    def max_window(self) -> int | None:
        """Most frames that it can look at together, None for any number."""
        return None

    @property
    def default_span(self) -> str:
        """The memory span that suits it best, as `policy.Memory` spells it."""
        longest = self.span_kinds[0]
        return f"window:{self.max_window}" if longest == "window" else longest

    @abstractmethod
    def initial_state(self, batch_size: int) -> HeadState:
        """The state of `batch_size` worlds of which nothing was seen yet."""

    @abstractmethod
    def forward(self, features: Float[Tensor, "B T feature_dim"], state: HeadState | None = None) -> HeadOutput:
        """Runs over a window of time.

        Args:
            features: Fused [LRN] features.
            state: What was seen before the window; None for nothing.

        Raises:
            TypeError: The state is that of another kind of head.
            ValueError: The state is of another number of worlds.
        """

    def step(self, features: Float[Tensor, "B feature_dim"], state: HeadState | None = None) -> StepOutput:
        """Runs one step of time."""
        output = self.forward(features[:, None], state)
        return StepOutput(output.chunks[:, 0], output.state)


StateT = TypeVar("StateT")


def require_state(state: object, kind: type[StateT]) -> StateT:
    """Returns the state if it is of the kind that is needed.

    Raises:
        TypeError: It is of another kind.
    """
    if not isinstance(state, kind):
        raise TypeError(
            f"expected a state of kind {kind.__name__}, got {type(state).__name__}. "
            "Pass what initial_state or the last step of the same head or memory returned."
        )
    return state
