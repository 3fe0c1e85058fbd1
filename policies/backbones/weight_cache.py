"""A cache of results that are computed from weights and hold until the weights change."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

_Made = TypeVar("_Made")


class WeightCache:
    """Results computed from weights, cached for inference so that they are not computed at every step.

    The cache is neither read nor written while gradients are enabled, while torch compiles, or for weights made in
    inference mode. A result is valid while its weights stay at the same address and no torch operation writes to them.
    Writes through `.data` are not noticed: a module that does this must clear the cache in `train`. A copy of a module
    starts with an empty cache.
    """

    def __init__(self, most: int = 1) -> None:
        """Keeps at most `most` results, the most recently used ones."""
        self._most = most
        self._results: dict[Hashable, tuple[Hashable, Any]] = {}

    def get(self, key: Hashable, weights: Iterable[Tensor], make: Callable[[], _Made]) -> _Made:
        """The result of `make`, from the cache if it is still valid.

        Args:
            key: What the result depends on besides weights.
            weights: The weights that the result depends on.
            make: Computes the result.
        """
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return make()
        stamps: list[Hashable] = []
        for weight in weights:
            if weight.is_inference():
                return make()
            stamps.append((weight._version, weight.data_ptr(), weight.dtype, weight.device))
        stamp = (*stamps, *_autocast())
        known = self._results.pop(key, None)
        result: _Made = known[1] if known is not None and known[0] == stamp else make()
        self._results[key] = stamp, result
        if len(self._results) > self._most:
            del self._results[next(iter(self._results))]
        return result

    def clear(self) -> None:
        """Empties the cache."""
        self._results.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> "WeightCache":
        return WeightCache(self._most)

    def __reduce__(self) -> tuple[type["WeightCache"], tuple[int]]:
        return WeightCache, (self._most,)


def _autocast() -> list[Hashable]:
    """The precisions of autocast that are enabled."""
    return [
        (device, torch.get_autocast_dtype(device)) for device in ("cpu", "cuda") if torch.is_autocast_enabled(device)
    ]
