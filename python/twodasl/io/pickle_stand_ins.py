"""What stands in for the classes and functions that published pickles of arrays name: data without code."""

from __future__ import annotations

import math
import os
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
_BUFFER_MODULES = ("numpy.core.numeric", "numpy._core.numeric")


class PickledType:
    """Stands in for numpy.dtype: the type's name and byte order."""

    def __init__(self, code: object = "", *_: object) -> None:
        self.code, self.order = str(code), "="

    def __setstate__(self, state: tuple) -> None:
        self.order = str(state[1])

    def numpy(self) -> np.dtype[Any]:
        if len(self.code) < 2 or self.code[0] not in "fiu" or not self.code[1:].isdigit():
            raise pickle.UnpicklingError(f"an array of type {self.code!r}, which is not of real numbers")
        order = self.order if self.order in "<>" else "="
        return np.dtype(order + self.code)


class PickledArray:
    """Stands in for numpy.ndarray: receives shape, type, and bytes, and builds the array."""

    array: Any = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, content = state
        self.array = _array_or_reason(content, kind, shape, "F" if fortran else "C")


class PickledObject:
    """Stands in for an object that is kept as data: its state, uninterpreted."""

    state: object = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state


class Refused(PickledObject):
    """Stands in for a class or object that is not read, whatever is done with it."""

    def __new__(cls, *_: object, **__: object) -> Refused:
        # A pickle calls a class to create an object.
        return cls if isinstance(cls, Refused) else super().__new__(cls)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __call__(self, *_: object, **__: object) -> Refused:
        return self

    def append(self, _: object) -> None:
        """Accept the items of a list, set, or dict."""

    add = extend = append

    def __setitem__(self, _: object, __: object) -> None:
        pass


class Entries(dict[Any, Any]):
    """A dict whose unreadable entries raise when they are accessed."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self._path = path

    def __getitem__(self, key: Any) -> Any:
        return self._checked(super().__getitem__(key))

    def get(self, key: Any, default: Any = None) -> Any:
        return self._checked(super().get(key, default))

    def _checked(self, value: Any) -> Any:
        if isinstance(value, Refused):
            raise no_arrays(self._path, value.reason)
        return value


class Chumpy(PickledObject):
    """chumpy.ch.Ch: the array is `x` of its state."""


class Selection(PickledObject):
    """chumpy.reordering.Select: entries `idxs` of the flattened `a`, in the shape `preferred_shape`."""


class Columns(PickledObject):
    """scipy.sparse.csc_matrix: `data`, `indices`, `indptr` and `_shape` of its state."""


class ObjectArray(PickledArray):
    """An array that may hold objects: those are returned as the pickled list."""

    objects: list[Any] | None = None

    def __setstate__(self, state: tuple) -> None:
        if isinstance(state[2], PickledType) and state[2].code.startswith("O") and isinstance(state[4], list):
            self.objects = state[4]
        else:
            super().__setstate__(state)


def _array(content: Any, kind: Any, shape: Any, order: str) -> NDArray[Any]:
    if isinstance(content, str):
        content = content.encode("latin1")  # bytes of Python 2
    if not isinstance(kind, PickledType) or not isinstance(content, (bytes, bytearray)):
        raise pickle.UnpicklingError("an array without plain bytes")
    dtype = kind.numpy()
    sizes = tuple(int(size) for size in shape)
    if min(sizes, default=0) < 0 or math.prod(sizes) * dtype.itemsize != len(content):
        raise pickle.UnpicklingError(f"{len(content)} bytes for an array of shape {sizes}")
    return np.frombuffer(content, dtype).reshape(sizes, order="F" if order == "F" else "C")


def _array_or_reason(content: Any, kind: Any, shape: Any, order: str) -> Any:
    """The array, or a stand-in that records why there is none: it may never be needed."""
    try:
        return _array(content, kind, shape, order)
    except Exception as error:  # shapes and types of any kind
        return Refused(reason_of(error))


def _scalar(kind: Any, content: Any = b"") -> Any:
    """Stands in for numpy.core.multiarray.scalar."""
    found = _array_or_reason(content, kind, (), "C")
    return found if isinstance(found, Refused) else found[()]


def _latin_bytes(text: str, encoding: str) -> bytes:
    """Stands in for _codecs.encode, used for bytes by protocols before 3."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _object(kind: type = PickledObject, *_: object) -> PickledObject:
    """Stands in for copyreg._reconstructor, which protocols before 2 call with the class."""
    if isinstance(kind, Refused):
        return kind
    if not (isinstance(kind, type) and issubclass(kind, PickledObject)):
        raise pickle.UnpicklingError("an object of a class that is not expected")
    return kind()


NUMPY_NAMES: dict[tuple[str, str], Any] = {
    **{(module, name): PickledArray for module in _MODULES for name in ("_reconstruct", "ndarray")},
    **{(module, "_frombuffer"): _array_or_reason for module in _BUFFER_MODULES},  # protocol 5
    **{(module, "scalar"): _scalar for module in _MODULES[1:]},
    ("numpy", "dtype"): PickledType,
    ("_codecs", "encode"): _latin_bytes,
}
MODEL_NAMES: dict[tuple[str, str], Any] = {
    **{key: ObjectArray if value is PickledArray else value for key, value in NUMPY_NAMES.items()},
    ("chumpy.ch", "Ch"): Chumpy,
    ("chumpy.reordering", "Select"): Selection,
    ("scipy.sparse.csc", "csc_matrix"): Columns,  # FLAME's J_regressor
    ("scipy.sparse._csc", "csc_matrix"): Columns,
    ("copy_reg", "_reconstructor"): _object,
    ("copyreg", "_reconstructor"): _object,
    ("__builtin__", "object"): PickledObject,
    ("builtins", "object"): PickledObject,
    ("__builtin__", "set"): PickledObject,  # chumpy's bookkeeping
    ("builtins", "set"): PickledObject,
    # DECA's landmark_embedding.npy stores its dynamic part as tensors.
    ("torch._utils", "_rebuild_tensor_v2"): PickledObject,
    ("torch.storage", "_load_from_bytes"): PickledObject,
    ("collections", "OrderedDict"): PickledObject,
}
STAND_INS = (PickledType, PickledArray, PickledObject)


def no_arrays(path: str | os.PathLike[str], reason: str) -> InputError:
    return InputError(f"{path}: expected a pickle of NumPy arrays only, got {' '.join(reason.split())[:200]}")


def reason_of(error: Exception) -> str:
    return str(error) or type(error).__name__
