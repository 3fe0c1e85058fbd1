"""The interface of every policy.

A policy is a function with memory, and the memory is a value. `initial_state` makes it, `act` takes it and returns the
next one, `reset_state` clears some rows of it. The policy object itself remembers nothing, so that one object serves
many worlds at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64

from calvinbench.envs.names import require_name
from calvinbench.envs.observation import CAMERA_SIZES, OBSERVATION_KEYS, ActionConvention, Observation
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.image_facts import ImageFacts

State = Any
"""A policy's memory for B worlds. Only the policy itself knows what is in it."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a policy remembers, and when its memory is reset.

    Attributes:
        span: `"unbounded"` (a recurrent state is kept), `"window:N"` (exactly the last N frames), or `"none"`.
        reset: `"subtask"` (reset at each new subtask, CALVIN's protocol) or `"chain"` (kept across the subtasks).
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
    """What a policy was trained on and how, as recorder and trainer noted it; None for what is not known.

    Attributes:
        scene: The scene's name. Several scenes of CALVIN are named by their letters, such as `"ABC"`.
        asset_digest: SHA-256 of what the scene was loaded from.
        renderer: The renderer of the images.
        depth_bits: Bits of the renderer's depth buffer.
        reference_frame: SHA-256 of the images of a fixed state. Machines that render differently have different ones.
        seed: Random seed of the training.
        recipe: Digest of the training without its seed. Policies of one recipe differ only by training-seed variance.
        images: Size and value range of each camera's images; empty if that is not known.
    """

    scene: str | None = None
    asset_digest: str | None = None
    renderer: str | None = None
    depth_bits: int | None = None
    reference_frame: str | None = None
    seed: int | None = None
    recipe: str | None = None
    images: tuple[ImageFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyTraits:
    """What a policy declares before anything runs. The harness compares it with the world.

    Attributes:
        label: The policy's name in tables, with size and origin for a model that is not a released one.
        action_convention: What its actions mean. The name of a convention is accepted too.
        observation_keys: Which attributes of `Observation` it reads, such as `rgb_static` or `robot_obs`. Only
            cameras that are named here are rendered.
        may_read: Those of `observation_keys` that it is given although nobody knows if it reads them, such as the
            `robot_obs` of a user's model. Tables say "may use".
        chunk_length: Actions predicted at once.
        chunk_rule: How chunks become actions. `"first"` executes the first action and predicts again.
        memory: What it remembers.
        privileged: Whether `act` is also given `PrivilegedState`. Tables mark such policies.
        max_batch_size: The most worlds that one object can serve, None for any number.
        weights_digest: SHA-256 of the file of weights; None without such a file.
        trained_on: What it was trained on; None if that is not known.

    Raises:
        UnknownNameError: There is no such action convention or observation key, or `may_read` has a key that is not
            in `observation_keys`.
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
            require_name(key, OBSERVATION_KEYS, "observation key")
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
    """From observations to actions, with explicit memory.

    A policy that does not look at every image can also have the method `looks_next`, see `policies.looking`.
    """

    @property
    def traits(self) -> PolicyTraits:
        """What the policy declares."""
        ...

    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> State:
        """The memory of `batch_size` new worlds.

        Args:
            batch_size: Number of worlds.
            seeds: One random seed a world, for policies that draw at random. The same seed gives the same actions.
        """
        ...

    def reset_state(self, state: State, rows: Bool[np.ndarray, " B"]) -> State:
        """The state in which the marked rows have seen nothing. Random streams continue."""
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
            state: What the previous call returned, or `initial_state`.
            privileged: One a world for policies that declare themselves privileged, otherwise None.
        """
        ...


@runtime_checkable
class BatchedPolicy(Policy, Protocol):
    """A policy that serves worlds that begin at different times with one object."""

    def put_state(self, state: State, rows: Bool[np.ndarray, " B"], part: State) -> State:
        """The state with the marked rows replaced by those of `part`, in their order, for worlds that begin again.

        Args:
            state: The state of B worlds.
            rows: The marked worlds.
            part: The state of as many worlds as are marked, such as `initial_state` returns.
        """
        ...

    def expect(self, instructions: Sequence[str]) -> None:
        """Called before the first step with all sentences that may come.

        The policy pads all of them to one length. In batches of one size, a world's actions then do not depend on the
        other worlds.

        Args:
            instructions: All sentences.
        """
        ...
