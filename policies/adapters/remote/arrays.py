"""numpy arrays in msgpack, as openpi's client and server write them. Reading a message never runs code from it."""

from typing import Any

import msgpack
import numpy as np

_REFUSED_KINDS = "VOc"
"""Other kinds, such as Python objects and complex numbers, do not belong in an observation or an action."""


class MessageError(ValueError):
    """A message that does not follow the protocol."""


def pack(content: Any) -> bytes:
    """Writes mappings, lists, numbers, text and arrays.

    Raises:
        MessageError: The protocol cannot express a value.
    """
    try:
        packed: bytes = msgpack.packb(content, default=_pack_array)
    except (TypeError, ValueError) as error:
        raise MessageError(f"expected arrays, numbers and text in a message, got: {error}.") from error
    return packed


def unpack(message: bytes) -> Any:
    """Reads what `pack` wrote.

    Raises:
        MessageError: The message is not msgpack, or the size of an array in it does not fit its shape.
    """
    try:
        return msgpack.unpackb(message, object_hook=_unpack_array, strict_map_key=False)
    except MessageError:
        raise
    except Exception as error:  # msgpack raises many kinds of errors
        raise MessageError(f"expected a msgpack message, got {len(message)} bytes that are none: {error!r}.") from error


def _pack_array(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in _REFUSED_KINDS:
        raise TypeError(f"no arrays of {value.dtype}")
    if isinstance(value, np.ndarray):
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(f"no {type(value).__name__}")


def _unpack_array(content: dict[Any, Any]) -> Any:
    if b"__ndarray__" in content:
        return _read_array(content)
    if b"__npgeneric__" in content:
        return _read_dtype(content.get(b"dtype")).type(content.get(b"data"))
    return content


def _read_array(content: dict[Any, Any]) -> np.ndarray:
    """An array. The number of bytes must fit its shape and type."""
    dtype, shape, data = _read_dtype(content.get(b"dtype")), content.get(b"shape"), content.get(b"data")
    if not isinstance(shape, list | tuple) or not isinstance(data, bytes) or not all(map(_is_size, shape)):
        raise MessageError(f"expected an array with bytes and a shape, got shape {shape!r} and {type(data).__name__}.")
    wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(data) != wanted:
        raise MessageError(
            f"expected {wanted} bytes for an array of shape {tuple(shape)} and kind {dtype}, got {len(data)}: its "
            "server says another shape than it sends."
        )
    return np.frombuffer(data, dtype).reshape(shape)


def _is_size(size: Any) -> bool:
    return isinstance(size, int) and size >= 0


def _read_dtype(name: Any) -> np.dtype[Any]:
    try:
        dtype = np.dtype(name.decode() if isinstance(name, bytes) else name)
    except (TypeError, ValueError) as error:
        raise MessageError(f"expected a kind of numbers, got {name!r}.") from error
    if dtype.kind in _REFUSED_KINDS or name is None:
        raise MessageError(f"expected numbers or text in an array, got kind {name!r}.")
    return dtype
