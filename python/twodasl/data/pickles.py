"""Reading the field's pickles of NumPy arrays without running what is in them.

A pickle is a program. This reader knows the few names that NumPy writes for an array and replaces them by
stand-ins that only hold bytes, so that nothing else can be reached.
"""

from __future__ import annotations

import math
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

_LARGEST = 1 << 28  # bytes; the lists of 3DDFA are a tenth of it
_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
_BUFFER_MODULES = ("numpy.core.numeric", "numpy._core.numeric")


class _Type:
    """Stands in for numpy.dtype: the type's name and its byte order."""

    def __init__(self, code: object = "", *_: object) -> None:
        self.code, self.order = str(code), "="

    def __setstate__(self, state: tuple) -> None:
        self.order = str(state[1])

    def numpy(self) -> np.dtype[Any]:
        if len(self.code) < 2 or self.code[0] not in "fiu" or not self.code[1:].isdigit():
            raise pickle.UnpicklingError(f"an array of type {self.code!r}, which is not of real numbers")
        order = self.order if self.order in "<>" else "="
        return np.dtype(order + self.code)


class _Array:
    """Stands in for numpy.ndarray: takes shape, type and bytes, and makes the array from them."""

    array: NDArray[Any]

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, content = state
        self.array = _array(content, kind, shape, "F" if fortran else "C")


def _array(content: Any, kind: Any, shape: Any, order: str) -> NDArray[Any]:
    if isinstance(content, str):
        content = content.encode("latin1")  # bytes of Python 2
    if not isinstance(kind, _Type) or not isinstance(content, (bytes, bytearray)):
        raise pickle.UnpicklingError("an array without plain bytes")
    dtype = kind.numpy()
    sizes = tuple(int(size) for size in shape)
    if min(sizes, default=0) < 0 or math.prod(sizes) * dtype.itemsize != len(content):
        raise pickle.UnpicklingError(f"{len(content)} bytes for an array of shape {sizes}")
    return np.frombuffer(content, dtype).reshape(sizes, order="F" if order == "F" else "C")


def _latin_bytes(text: str, encoding: str) -> bytes:
    """Stands in for _codecs.encode, with which protocols before 3 write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in _MODULES and name in ("_reconstruct", "ndarray"):
            return _Array
        if module in _BUFFER_MODULES and name == "_frombuffer":  # protocol 5
            return _array
        if module == "numpy" and name == "dtype":
            return _Type
        if (module, name) == ("_codecs", "encode"):
            return _latin_bytes
        raise pickle.UnpicklingError(f"the name {module}.{name}, which is not NumPy's")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("a reference to something outside the file")


def read_array_pickle(path: str | os.PathLike[str]) -> Any:
    """What a pickle holds: NumPy arrays of real numbers in dicts, lists and tuples, and plain values.

    Files of Python 2 (`latin1` strings) are read too. Raises InputError naming the file when it is missing,
    broken, larger than 256 MiB, or mentions any other class or function; none of them is called.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST:
            raise InputError(f"{file}: expected a pickle of at most {_LARGEST >> 20} MiB, got a larger file")
        with open(file, "rb") as stream:
            return _plain(_Unpickler(stream, encoding="latin1").load())
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror or error}); expected a pickle of arrays"
        ) from error
    except InputError:
        raise
    except Exception as error:  # a damaged pickle stops its reader in many ways
        raise InputError(f"{file}: expected a pickle of NumPy arrays alone, got {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value
