"""How the renderer's inner loops are compiled: one decorator for all of them."""

import inspect
from collections.abc import Callable
from typing import TypeVar

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """Compiles a function of arrays to machine code, when it is first called; the code is kept on the disk.

    Pictures must be the same on every processor. So of the compiler's freedoms with floating point only those are
    taken that do not change results of finite numbers: no reciprocals for divisions, no fused multiply-adds, no
    reordering. What is left (no NaN, no infinity, no signed zero) lets `min` and `max` run on vectors.

    Numba notices a change of the file that a function stands in, not of what that calls in other files: compiled
    functions call compiled functions of their own file only.
    """
    options = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"nnan", "ninf", "nsz"}}
    # The types in annotations are for readers; a test that checks them wraps the function, which cannot be compiled.
    compile_function: Callable[[Callable[..., object]], _Function] = numba.njit(**options)
    return compile_function(inspect.unwrap(function))
