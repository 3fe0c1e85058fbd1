"""Checks of the number of worlds, because numpy and torch would silently broadcast one row over many."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool

RowT = TypeVar("RowT")


def require_batch(what: str, num_given: int, batch_size: int) -> None:
    """Raises an error for data of another number of worlds.

    Args:
        what: What the data is, for the message, such as `"a state"`.
        num_given: Its number of worlds.
        batch_size: The expected number of worlds.

    Raises:
        ValueError: The numbers differ.
    """
    if num_given != batch_size:
        raise ValueError(
            f"expected {what} for {batch_size} worlds, got {num_given}. "
            "Pass observations, instructions and state of the same worlds."
        )


def require_rows(rows: Any, batch_size: int) -> None:
    """Raises an error if the marks of rows are not one boolean a world.

    Args:
        rows: A numpy array or a torch tensor.
        batch_size: Number of worlds.

    Raises:
        TypeError: The marks are not boolean.
        ValueError: There is not exactly one mark a world.
    """
    # The annotation is `Any`, because the checks below raise errors that are easier to understand.
    kind = str(getattr(rows, "dtype", type(rows).__name__)).removeprefix("torch.")
    if kind != "bool":
        raise TypeError(f"expected rows as a boolean array, got {kind}. Mark each world with True or False.")
    shape = tuple(getattr(rows, "shape", ()))
    if shape != (batch_size,):
        raise ValueError(f"expected rows for {batch_size} worlds, got shape {shape}. Mark each world once.")


def put_rows(state: Sequence[RowT], rows: Bool[np.ndarray, " B"], part: Sequence[RowT]) -> tuple[RowT, ...]:
    """A state with one value a world, with the marked values replaced by those of `part`, in their order.

    Raises:
        TypeError: The marks are not boolean.
        ValueError: There is not exactly one mark a world, or not one value of `part` for each mark.
    """
    require_rows(rows, len(state))
    require_batch("a state", len(part), int(rows.sum()))
    news = iter(part)
    return tuple(next(news) if mark else row for mark, row in zip(rows, state, strict=True))
