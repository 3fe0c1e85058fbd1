"""How the renderer's inner loops are compiled: one decorator for all of them."""

import inspect
import logging
from collections.abc import Callable
from typing import Any

import numba

_logger = logging.getLogger(__name__)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function of arrays to machine code when it is first called. The code is cached on the disk.

    Images must be the same on every processor. So the compiler may use only transformations that do not change finite
    results: no reciprocals for divisions, no fused multiply-adds, no reordering. It may assume that there is no NaN, no
    infinity and no signed zero, because only then are `min` and `max` vectorised.

    Numba's cache notices changes of the function's own file, but not of functions in other files. So compiled functions
    call only compiled functions of their own file.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"nnan", "ninf", "nsz"}}
    # The types in annotations are for readers. Tests check them by a wrapper, which cannot be compiled.
    function = inspect.unwrap(function)
    compile_function: Callable[[Callable[..., Any]], Callable[..., Any]]
    try:
        compile_function = numba.njit(cache=True, **options)
        return compile_function(function)
    except RuntimeError as error:  # there is no writable folder for compiled code
        _logger.warning("compiled code cannot be cached; each process compiles it again (about 20 seconds): %s", error)
        compile_function = numba.njit(**options)
        return compile_function(function)
