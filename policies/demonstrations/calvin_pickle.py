"""Dictionaries in `.npy` files, as CALVIN stores annotations and scenes: pickles, read without running any code.

numpy 2 writes `numpy._core` into its pickles, which older numpy, such as that of CALVIN's Python 3.8, cannot find. Our
files use public names, so any numpy can read them.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from calvinbench.envs.system.atomic_write import whole_file
from calvinbench.policies.demonstrations.demonstrations import DataError


def save_dictionary(file: Path, content: Mapping[str, Any]) -> None:
    """Writes a dictionary of dictionaries, lists, tuples, strings, numbers and numeric arrays as numpy would."""
    boxed = np.empty((), dtype=object)
    boxed[()] = dict(content)
    with whole_file(file) as temporary, temporary.open("wb") as opened:
        np.lib.format.write_array_header_1_0(opened, np.lib.format.header_data_from_array_1_0(boxed))
        _PortablePickler(opened, protocol=3).dump(boxed)


class _PortablePickler(pickle.Pickler):
    """Pickles arrays as calls of `numpy.array` and `numpy.ndarray`, which every numpy has."""

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, np.ndarray):
            return NotImplemented
        if obj.dtype == object:
            return np.array, (obj.item(), "O")
        # A bytearray, not bytes: arrays over bytes are read-only, which torch warns about.
        return np.ndarray, (obj.shape, obj.dtype.str, bytearray(obj.tobytes()))


def load_dictionary(file: Path) -> dict[str, Any]:
    """Reads a dictionary that numpy pickled.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: It is cut off or damaged, contains something else than a dictionary, or would run code.
    """
    try:
        with file.open("rb") as opened:
            version = np.lib.format.read_magic(opened)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            _, _, dtype = read_header[version](opened)
            if not dtype.hasobject:
                raise DataError(f"expected a dictionary in '{file}', got numbers of type {dtype}.")
            content = _CarefulUnpickler(opened).load()
    except (FileNotFoundError, DataError):
        raise
    except _ForeignObjectError as error:
        raise DataError(
            f"expected only dictionaries, lists, strings, numbers and arrays in '{file}', but it would call {error}. "
            "None of its code was run. If the file is yours, save it again with plain lists and arrays."
        ) from error
    except Exception as error:
        raise DataError(
            f"expected a dictionary that numpy saved in '{file}', but it is cut off or damaged "
            f"({type(error).__name__}: {error}). Copy or download it again."
        ) from error
    if isinstance(content, np.ndarray) and content.size == 1:
        content = content.item()
    if not isinstance(content, dict):
        raise DataError(f"expected a dictionary in '{file}', got {type(content).__name__}.")
    return content


class _ForeignObjectError(pickle.UnpicklingError):
    """A pickle names something that does not belong in data."""


class _CarefulUnpickler(pickle.Unpickler):
    """Finds the classes and functions that arrays consist of, and nothing else."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _ForeignObjectError(f"{module}.{name}")
        return _ALLOWED[module, name]


def _encode(text: str, encoding: str) -> bytes:
    """Decodes bytes as old pickles write them. No other codec is accepted."""
    if encoding != "latin1":
        raise _ForeignObjectError(f"_codecs.encode with {encoding!r}")
    return text.encode("latin1")


_reconstruct = np.zeros(0).__reduce__()[0]
_scalar = np.float64(0).__reduce__()[0]
_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("numpy", "array"): np.array,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("builtins", "bytearray"): bytearray,
    ("_codecs", "encode"): _encode,
}
