"""What a user chooses of a table: columns, order, digits, how intervals and significance are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from calvinbench.envs.names import require_name
from calvinbench.harness.report.tables.grid import IntervalStyle

Significance = Literal["marks", "letters", "none"]
"""Mark what is not significantly different from the best; or letters, shared by methods that are not different."""
MAX_PRECISION = 6


@dataclass(frozen=True, slots=True)
class TableStyle:
    """The look of a table.

    Attributes:
        columns: Names of the columns behind the method's: numbers of subtasks (`"1"`), `"avg"`, `"n"`, `"errors"`,
            `"steps"`, attributes (`"size"`, `"memory"`, ...), names of tasks, `"all"`. None: rates, average length, and
            the attributes in which methods differ.
        order: Names of methods from the top; others follow in their own order. `"success"`: the best first. None: the
            order of the runs.
        intervals: How confidence intervals are shown.
        precision: Digits of percentages behind the point; average lengths have one more.
        significance: How it is shown what is significantly different.

    Raises:
        ValueError: A value is not allowed.
    """

    columns: tuple[str, ...] | None = None
    order: tuple[str, ...] | Literal["success"] | None = None
    intervals: IntervalStyle = "brackets"
    precision: int = 1
    significance: Significance = "marks"

    def __post_init__(self) -> None:
        require_name(self.intervals, get_args(IntervalStyle), "interval style")
        require_name(self.significance, get_args(Significance), "kind of significance marks")
        if not 0 <= self.precision <= MAX_PRECISION:
            raise ValueError(f"expected a precision from 0 to {MAX_PRECISION} digits, got {self.precision}.")


def as_columns(columns: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Column names from text such as `"1,5,avg"`, or from a sequence.

    Raises:
        ValueError: A name is empty or there is none.
    """
    if columns is None:
        return None
    names = tuple(name.strip() for name in (columns.split(",") if isinstance(columns, str) else columns))
    if not names or not all(names):
        raise ValueError(f"expected names of columns separated by commas, such as 1,5,avg, got {columns!r}.")
    return names


def as_order(order: str | Sequence[str] | None) -> tuple[str, ...] | Literal["success"] | None:
    """An order from text such as `"success"` or `"cnn,expert"`, or from a sequence."""
    if order is None or order == "success":
        return order  # type: ignore[return-value]
    return tuple(name.strip() for name in order.split(",")) if isinstance(order, str) else tuple(order)
