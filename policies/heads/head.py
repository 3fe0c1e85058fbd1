"""The interface of policy heads: from features of B worlds and a state to action chunks and the next state."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from calvinbench.policies.heads.config import HeadConfig


@runtime_checkable
class HeadState(Protocol):
    """What a head remembers of B worlds. It is a value and never changed in place."""

    @property
    def batch_size(self) -> int:
        """Number of worlds."""
        ...

    def forget(self, rows: Bool[Tensor, " B"]) -> "HeadState":
        """The state in which the marked rows have seen nothing. The other rows are unchanged."""
        ...

    def take(self, rows: Bool[Tensor, " B"]) -> "HeadState":
        """The state of the marked rows alone, in their order."""
        ...

    def put(self, rows: Bool[Tensor, " B"], part: "HeadState") -> "HeadState":
        """The state with the marked rows replaced by those of `part`. The inverse of `take`."""
        ...


class HeadOutput(NamedTuple):
    """Chunks over a window of time, and the next state.

    The last axis holds six numbers of the pose, in [-1, 1] with the activation tanh, and the gripper's logit.
    `actions.executed_actions` makes actions of them.
    """

    chunks: Float[Tensor, "B T chunk_length 7"]
    state: HeadState


class StepOutput(NamedTuple):
    """Chunks of one step, and the next state."""

    chunks: Float[Tensor, "B chunk_length 7"]
    state: HeadState


class Head(nn.Module, ABC):
    """Base class of all heads. Running over a window and stepping through it give the same chunks."""

    span_kinds: ClassVar[tuple[str, ...]]
    """The memory spans that it can have (`memory.make_memory`): some of `"none"`, `"unbounded"` and `"window"`."""

    def __init__(self, feature_dim: int, config: HeadConfig) -> None:
        """Keeps the settings.

        Args:
            feature_dim: Width of the features, that of the VLM.
            config: Settings.
        """
        super().__init__()
        self.feature_dim = feature_dim
        self.config = config

    @property
    def max_window(self) -> int | None:
        """Maximal number of frames that it can look at together; None for any number."""
        return None

    @property
    def default_span(self) -> str:
        """The memory span that suits it best, as `policy.Memory` writes it."""
        longest = self.span_kinds[0]
        return f"window:{self.max_window}" if longest == "window" else longest

    @abstractmethod
    def initial_state(self, batch_size: int) -> HeadState:
        """The state of `batch_size` new worlds."""

    @abstractmethod
    def forward(self, features: Float[Tensor, "B T feature_dim"], state: HeadState | None = None) -> HeadOutput:
        """Runs over a window of time.

        Args:
            features: Fused [LRN] features.
            state: The state before the window; None for new worlds.

        Raises:
            TypeError: The state belongs to another kind of head.
            ValueError: The state is for another number of worlds.
        """

    def step(self, features: Float[Tensor, "B feature_dim"], state: HeadState | None = None) -> StepOutput:
        """Runs one step of time."""
        output = self.forward(features[:, None], state)
        return StepOutput(output.chunks[:, 0], output.state)


StateT = TypeVar("StateT")


def require_state(state: object, kind: type[StateT]) -> StateT:
    """Returns the state if it has the expected type.

    Raises:
        TypeError: It has another type.
    """
    if not isinstance(state, kind):
        raise TypeError(
            f"expected a state of kind {kind.__name__}, got {type(state).__name__}. "
            "Pass what initial_state or the last step of the same head or memory returned."
        )
    return state
