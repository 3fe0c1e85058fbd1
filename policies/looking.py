"""Which images a policy looks at, so that only those are rendered.

A policy that executes several actions of a predicted chunk looks at few images, and rendering takes most of a world's
step. Such a policy has the method `looks_next`. All learned policies answer it by their chunk rule. A policy without it
gets the images of every step.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool

from calvinbench.envs.observation import Observation
from calvinbench.policies.batch import require_batch
from calvinbench.policies.policy import Policy, State


@runtime_checkable
class LooksAhead(Policy, Protocol):
    """A policy that says which images it will look at."""

    def looks_next(self, state: State) -> Bool[np.ndarray, " B"] | None:
        """Which worlds' images and depths the next `act` looks at. They are not rendered for other worlds.

        Worlds that are reset in between are rendered in any case. Proprioception is always there. What `act` is given
        for the other worlds is described at `Observation.is_rendered`.

        Args:
            state: What `act` has just returned.

        Returns:
            One mark a world; None for all.
        """
        ...


class NotRenderedError(ValueError):
    """A policy looks at images that are not rendered, because it said that it would not look at them."""


def looks_next(policy: Policy, state: State, batch_size: int, *, reads_images: bool) -> Bool[np.ndarray, " B"]:
    """Which worlds' images a policy looks at in its next `act`.

    A policy that does not say looks at all of them, or at none if it reads no images.

    Args:
        policy: The policy.
        state: What its `act` has just returned.
        batch_size: Number of worlds.
        reads_images: Whether the policy's `observation_keys` name an image or a depth.

    Raises:
        TypeError: Its `looks_next` returned something other than booleans.
        ValueError: It did not return exactly one mark a world.
    """
    method = getattr(policy, "looks_next", None)
    marks = None if method is None else method(state)
    if marks is None:
        return np.full(batch_size, reads_images, dtype=np.bool_)
    rows = np.asarray(marks)
    if rows.dtype != np.bool_:
        raise TypeError(
            f"expected looks_next to return booleans, got {type(marks).__name__} of {rows.dtype}. Return True for each "
            "world whose images the next act looks at, or None for all worlds."
        )
    if rows.shape != (batch_size,):
        raise ValueError(
            f"expected looks_next to return one mark for each of {batch_size} worlds, got shape {rows.shape}. Return "
            f"an array of shape ({batch_size},), or None for all worlds."
        )
    return rows


def require_rendered(observations: Observation, rows: Bool[np.ndarray, " B"]) -> None:
    """Raises an error if the images of some of these worlds are not rendered.

    Args:
        observations: What `act` was given.
        rows: The worlds whose images the policy is about to look at.

    Raises:
        NotRenderedError: There is such a world.
        ValueError: The numbers of worlds differ.
    """
    if observations.is_rendered is None:
        return
    require_batch("a state", len(rows), len(observations.is_rendered))
    missing = np.flatnonzero(rows & ~observations.is_rendered)
    if len(missing):
        raise NotRenderedError(f"expected the images of worlds {missing.tolist()}, but they are not there. {ADVICE}")


ADVICE = (
    "They were not rendered, because the policy's looks_next said that its next act would not look at them. Let "
    "looks_next mark each world whose images act uses, or remove looks_next. For a CALVIN model, correct or remove "
    "looks_every."
)
"""For the errors of policies that look at more than they said."""


def note_missing_images(error: BaseException, observations: Observation) -> None:
    """Adds to the error of a policy that images it reads were left out, if some were.

    Args:
        error: What `act` raised.
        observations: What `act` was given.
    """
    if observations.is_rendered is None or isinstance(error, NotRenderedError):
        return
    missing = np.flatnonzero(~observations.is_rendered).tolist()
    error.add_note(f"(The images of worlds {missing} were left out. {ADVICE})")
