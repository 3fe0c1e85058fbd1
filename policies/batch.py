"""The number of worlds, checked: numpy and torch would stretch one row over many in silence."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool

RowT = TypeVar("RowT")


def require_batch(what: str, num_given: int, batch_size: int) -> None:
    """Refuses what is meant for another number of worlds.

    Args:
        what: What came, for the message: `"a state"`.
        num_given: For how many worlds it is.
        batch_size: For how many worlds it should be.

    Raises:
        ValueError: The numbers differ.
    """
    if num_given != batch_size:
        raise ValueError(
            f"expected {what} for {batch_size} worlds, got {num_given}. "
            "Pass observations, instructions and state of the same worlds."
        )


def require_rows(rows: Any, batch_size: int) -> None:
    """Refuses marks of rows that are not one boolean a world.

    Args:
        rows: A numpy array or a torch tensor.
        batch_size: Number of worlds.

    Raises:
        TypeError: The marks are not boolean.
        ValueError: There is not one mark a world.
    """
    # Plain annotations: whatever comes here is checked below, with an error in words.
    kind = str(getattr(rows, "dtype", type(rows).__name__)).removeprefix("torch.")
    if kind != "bool":
        raise TypeError(f"expected rows as a boolean array, got {kind}. Mark each world with True or False.")
    shape = tuple(getattr(rows, "shape", ()))
    if shape != (batch_size,):
        raise ValueError(f"expected rows for {batch_size} worlds, got shape {shape}. Mark each world once.")


def put_rows(state: Sequence[RowT], rows: Bool[np.ndarray, " B"], part: Sequence[RowT]) -> tuple[RowT, ...]:
    """A state of one value a world, with the marked ones replaced by those of `part`, in their order.

    Raises:
        TypeError: The marks are not boolean.
        ValueError: There is not one mark a world, or not one of `part` for each that is marked.
    """
    require_rows(rows, len(state))
    require_batch("a state", len(part), int(rows.sum()))
    news = iter(part)
    return tuple(next(news) if mark else row for mark, row in zip(rows, state, strict=True))
