"""Policies whose state is a tuple with one value a world."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from typing_extensions import override

from calvinbench.policies.batch import put_rows
from calvinbench.policies.policy import BatchedPolicy


class RowsPolicy(BatchedPolicy):
    """Base class of such policies. A world's actions do not depend on the sentences of other worlds."""

    @override
    def put_state(self, state: tuple[Any, ...], rows: Bool[np.ndarray, " B"], part: tuple[Any, ...]) -> tuple[Any, ...]:
        return put_rows(state, rows, part)

    @override
    def expect(self, instructions: Sequence[str]) -> None:
        """Has no effect."""
