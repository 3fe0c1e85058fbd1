"""The interface that every policy speaks.

A policy is a function with memory, and the memory is a value: `initial_state` makes it, `act` takes it and returns the
next one, `reset_state` clears some rows of it. Nothing is hidden in the policy, so that one policy object serves many
worlds at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64

from calvinbench.envs.names import require_name
from calvinbench.envs.observation import CAMERA_SIZES, ActionConvention, Observation
from calvinbench.envs.world_info import PrivilegedState

State = Any
"""A policy's memory for B worlds: a value of the policy's own kind, opaque to everyone else."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a policy remembers, and when it forgets.

    Attributes:
        span: `"unbounded"` (a recurrent state is kept), `"window:N"` (exactly the last N frames count), or `"none"`.
        reset: `"subtask"` (CALVIN's protocol: forget at each new subtask) or `"chain"` (kept across the five).
    """

    span: str = "none"
    reset: str = "subtask"

    def __post_init__(self) -> None:
        window = self.span.removeprefix("window:")
        is_window = self.span.startswith("window:") and window.isascii() and window.isdigit() and int(window) > 0
        if self.span not in ("none", "unbounded") and not is_window:
            raise ValueError(f"expected memory span 'none', 'unbounded' or 'window:N' with N > 0, got '{self.span}'.")
        if self.reset not in ("subtask", "chain"):
            raise ValueError(f"expected memory reset 'subtask' or 'chain', got '{self.reset}'.")


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """What a policy was trained on and how, as recorder and trainer wrote it down; None for what is not known.

    Attributes:
        scene: The scene's name; of several of CALVIN's their letters, such as `"ABC"`.
        asset_digest: SHA-256 of what the scene was loaded from.
        renderer: Who drew the pictures.
        depth_bits: Of the renderer's depth buffer.
        reference_frame: SHA-256 of the pictures of a fixed state: machines that draw differently have different ones.
        seed: Of the training.
        recipe: Digest of the training but for its seed: policies of one recipe differ by luck alone.
    """

    scene: str | None = None
    asset_digest: str | None = None
    renderer: str | None = None
    depth_bits: int | None = None
    reference_frame: str | None = None
    seed: int | None = None
    recipe: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyTraits:
    """What a policy says of itself, before anything runs; the harness compares it with the world.

    Attributes:
        label: What tables print. Says size and origin for a model that is not a released one.
        action_convention: What its actions mean; its name as text is taken too.
        observation_keys: Which attributes of `Observation` it reads, such as `rgb_static` or `robot_obs`; no camera is
            rendered that is not named here.
        may_read: Those of `observation_keys` that it is given without having said that it reads them, such as the
            `robot_obs` of a model from outside; tables say "may use".
        chunk_length: Actions predicted at once.
        chunk_rule: How chunks become actions: `"first"` executes the first and predicts again.
        memory: What it remembers.
        privileged: Whether `act` is also given `PrivilegedState`; tables mark such policies.
        max_batch_size: The most worlds that one object can serve, None for any number.
        weights_digest: SHA-256 of the file of weights, None where there is none.
        trained_on: Where its training pictures are from, None where that is not known.

    Raises:
        UnknownNameError: There is no such action convention or observation key, or `may_read` has one that is not
            among `observation_keys`.
        ValueError: The label or the chunk rule is empty, or a number is below 1.
    """

    label: str
    action_convention: ActionConvention = ActionConvention.REL_ACTIONS
    observation_keys: tuple[str, ...] = ()
    chunk_length: int = 1
    chunk_rule: str = "first"
    memory: Memory = field(default_factory=Memory)
    privileged: bool = False
    max_batch_size: int | None = None
    weights_digest: str | None = None
    trained_on: TrainedOn | None = None
    may_read: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        conventions = list(ActionConvention)
        convention = ActionConvention(require_name(str(self.action_convention), conventions, "action convention"))
        object.__setattr__(self, "action_convention", convention)
        for key in self.observation_keys:
            require_name(key, [entry.name for entry in fields(Observation)], "observation key")
        for key in self.may_read:
            require_name(key, self.observation_keys, "observation key that may be read")
        for name in ("label", "chunk_rule"):
            if not getattr(self, name).strip():
                raise ValueError(f"expected a {name} to print, got '{getattr(self, name)}'.")
        for name in ("chunk_length", "max_batch_size"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"expected {name} of at least 1, got {number}.")

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras that must be rendered for this policy."""
        return tuple(
            camera for camera in CAMERA_SIZES if {f"rgb_{camera}", f"depth_{camera}"} & set(self.observation_keys)
        )


class Decision(NamedTuple):
    """What `act` returns: the actions of B worlds and the next state."""

    actions: Float64[np.ndarray, "B action_dim"]
    state: State


@runtime_checkable
class Policy(Protocol):
    """Observation to action, with explicit memory."""

    @property
    def traits(self) -> PolicyTraits:
        """What the policy says of itself."""
        ...

    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> State:
        """The memory of `batch_size` worlds that have seen nothing yet.

        Args:
            batch_size: Number of worlds.
            seeds: One seed a world for policies that draw at random; the same seed gives the same actions.
        """
        ...

    def reset_state(self, state: State, rows: Bool[np.ndarray, " B"]) -> State:
        """The state with the marked rows forgetting what they saw; random streams go on."""
        ...

    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: State,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        """One step of B worlds.

        Args:
            observations: Batched over worlds, with at least `traits.observation_keys`.
            instructions: One sentence a world.
            state: What the last call returned, or `initial_state`.
            privileged: One a world for policies that declare themselves privileged, else None.
        """
        ...


@runtime_checkable
class BatchedPolicy(Policy, Protocol):
    """A policy of which one object serves worlds that begin at different times."""

    def put_state(self, state: State, rows: Bool[np.ndarray, " B"], part: State) -> State:
        """The state with the marked rows replaced by those of `part`, in their order: worlds that begin anew.

        Args:
            state: Of B worlds.
            rows: Marks.
            part: Of as many worlds as are marked, such as `initial_state` gives.
        """
        ...

    def expect(self, instructions: Sequence[str]) -> None:
        """Told before the first step which sentences may come, so that no shape of its numbers depends on which do.

        From then on, in batches of one size, what a policy answers to a world does not depend on the worlds beside it.

        Args:
            instructions: All of them.
        """
        ...
