"""What is computed of weights and does not change while they do not."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

_Made = TypeVar("_Made")


class Kept:
    """Results of weights, kept for inference, where each step would compute them anew.

    Nothing is kept, and nothing that was is used, where gradients are wanted, where torch compiles, or of weights that
    were themselves made in inference mode. A result holds as long as its weights are where they were and were not
    written to by torch's own operations; a module whose weights may be written to through `.data` clears it in `train`.
    Copies of a module begin with nothing.
    """

    def __init__(self, most: int = 1) -> None:
        """Keeps at most so many results, the latest used."""
        self._most = most
        self._results: dict[Hashable, tuple[Hashable, Any]] = {}

    def get(self, key: Hashable, weights: Iterable[Tensor], make: Callable[[], _Made]) -> _Made:
        """What `make` returns, from before where it still holds.

        Args:
            key: What it depends on besides weights.
            weights: What it depends on.
            make: Computes it.
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
        """Forgets all."""
        self._results.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Kept":
        return Kept(self._most)

    def __reduce__(self) -> tuple[type["Kept"], tuple[int]]:
        return Kept, (self._most,)


def _autocast() -> list[Hashable]:
    """In which precision operations run, where that is not the tensors' own."""
    return [
        (device, torch.get_autocast_dtype(device)) for device in ("cpu", "cuda") if torch.is_autocast_enabled(device)
    ]
