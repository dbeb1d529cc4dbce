"""Reading published pickles of NumPy arrays without running them.

A pickle is a program. This reader knows the few names that NumPy writes for an array and replaces them with
stand-ins that only hold bytes, so that nothing else can be reached. `read_model_pickle` knows a few more
names, those in FLAME's pickles, and treats them as data in the same way. Objects of any other name are not
created; a dict entry that holds one, or a broken array, raises only when it is accessed.
"""

from __future__ import annotations

import io
import math
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..arguments import path_of
from ..errors import InputError
from .files import regular_file
from .sparse import dense_from_columns

_LARGEST = 1 << 28  # bytes; FLAME's files are a fifth of this
_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
_BUFFER_MODULES = ("numpy.core.numeric", "numpy._core.numeric")


class _Type:
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


class _Array:
    """Stands in for numpy.ndarray: receives shape, type, and bytes, and builds the array."""

    array: Any = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, content = state
        self.array = _array_or_reason(content, kind, shape, "F" if fortran else "C")


class _Object:
    """Stands in for an object that is kept as data: its state, uninterpreted."""

    state: object = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Refused(_Object):
    """Stands in for a class or object that is not read, whatever is done with it."""

    def __new__(cls, *_: object, **__: object) -> _Refused:
        # A pickle calls a class to create an object.
        return cls if isinstance(cls, _Refused) else super().__new__(cls)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __call__(self, *_: object, **__: object) -> _Refused:
        return self

    def append(self, _: object) -> None:
        """Accept the items of a list, set, or dict."""

    add = extend = append

    def __setitem__(self, _: object, __: object) -> None:
        pass


class _Entries(dict[Any, Any]):
    """A dict whose unreadable entries raise when they are accessed."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self._path = path

    def __getitem__(self, key: Any) -> Any:
        return self._checked(super().__getitem__(key))

    def get(self, key: Any, default: Any = None) -> Any:
        return self._checked(super().get(key, default))

    def _checked(self, value: Any) -> Any:
        if isinstance(value, _Refused):
            raise _no_arrays(self._path, value.reason)
        return value


class _Chumpy(_Object):
    """chumpy.ch.Ch: the array is `x` of its state."""


class _Selection(_Object):
    """chumpy.reordering.Select: entries `idxs` of the flattened `a`, in the shape `preferred_shape`."""


class _Columns(_Object):
    """scipy.sparse.csc_matrix: `data`, `indices`, `indptr` and `_shape` of its state."""


class _ObjectArray(_Array):
    """An array that may hold objects: those are returned as the pickled list."""

    objects: list[Any] | None = None

    def __setstate__(self, state: tuple) -> None:
        if isinstance(state[2], _Type) and state[2].code.startswith("O") and isinstance(state[4], list):
            self.objects = state[4]
        else:
            super().__setstate__(state)


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


def _array_or_reason(content: Any, kind: Any, shape: Any, order: str) -> Any:
    """The array, or a stand-in that records why there is none: it may never be needed."""
    try:
        return _array(content, kind, shape, order)
    except Exception as error:  # shapes and types of any kind
        return _Refused(_words(error))


def _scalar(kind: Any, content: Any = b"") -> Any:
    """Stands in for numpy.core.multiarray.scalar."""
    found = _array_or_reason(content, kind, (), "C")
    return found if isinstance(found, _Refused) else found[()]


def _latin_bytes(text: str, encoding: str) -> bytes:
    """Stands in for _codecs.encode, used for bytes by protocols before 3."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _object(kind: type = _Object, *_: object) -> _Object:
    """Stands in for copyreg._reconstructor, which protocols before 2 call with the class."""
    if isinstance(kind, _Refused):
        return kind
    if not (isinstance(kind, type) and issubclass(kind, _Object)):
        raise pickle.UnpicklingError("an object of a class that is not expected")
    return kind()


_NUMPY: dict[tuple[str, str], Any] = {
    **{(module, name): _Array for module in _MODULES for name in ("_reconstruct", "ndarray")},
    **{(module, "_frombuffer"): _array_or_reason for module in _BUFFER_MODULES},  # protocol 5
    **{(module, "scalar"): _scalar for module in _MODULES[1:]},
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _latin_bytes,
}
_MODEL: dict[tuple[str, str], Any] = {
    **{key: _ObjectArray if value is _Array else value for key, value in _NUMPY.items()},
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy.reordering", "Select"): _Selection,
    ("scipy.sparse.csc", "csc_matrix"): _Columns,  # FLAME's J_regressor
    ("scipy.sparse._csc", "csc_matrix"): _Columns,
    ("copy_reg", "_reconstructor"): _object,
    ("copyreg", "_reconstructor"): _object,
    ("__builtin__", "object"): _Object,
    ("builtins", "object"): _Object,
    ("__builtin__", "set"): _Object,  # chumpy's bookkeeping
    ("builtins", "set"): _Object,
    # DECA's landmark_embedding.npy stores its dynamic part as tensors.
    ("torch._utils", "_rebuild_tensor_v2"): _Object,
    ("torch.storage", "_load_from_bytes"): _Object,
    ("collections", "OrderedDict"): _Object,
}
_STAND_INS = (_Type, _Array, _Object)


# The Python unpickler, because the one in C allocates whatever size a file declares.
class PlainUnpickler(pickle._Unpickler):
    """Reads a pickle in which only `names`, pairs of (module, name), can be reached or called."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stand_ins: ClassVar[tuple[type, ...]] = _STAND_INS
    """The classes whose instances accept a state."""

    def __init__(self, stream: io.BytesIO, names: Mapping[tuple[str, str], Any]) -> None:
        super().__init__(stream, encoding="latin1")
        self._names, self._size = names, stream.getbuffer().nbytes

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._names:
            return self._names[module, name]
        raise pickle.UnpicklingError(f"the name {module}.{name}, which is not NumPy's")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("a reference to something outside the file")

    def get_extension(self, code: int) -> NoReturn:
        raise pickle.UnpicklingError("a name by number")

    def load_build(self) -> None:
        # Anywhere else, a state would be written into a class or function for the whole process.
        if not isinstance(self.stack[-2], self.stand_ins):  # type: ignore[attr-defined]
            raise pickle.UnpicklingError("a state for something that has none")
        super().load_build()  # type: ignore[misc]

    dispatch[pickle.BUILD[0]] = load_build

    def load_bytearray8(self) -> None:
        size = int.from_bytes(self.read(8), "little")  # type: ignore[attr-defined]
        if size > self._size:
            raise pickle.UnpicklingError(f"{size} bytes in a file of {self._size}")
        self.append(bytearray(self.read(size)))  # type: ignore[attr-defined]

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    def _check_keys(self, keys: list[Any]) -> None:
        """Hashing a tuple of one tuple twice, of twice that one, and so on, takes forever."""
        if any(isinstance(key, tuple) and any(isinstance(part, tuple) for part in key) for key in keys):
            raise pickle.UnpicklingError("a key of tuples in tuples")

    def load_setitem(self) -> None:
        self._check_keys(self.stack[-2:-1])  # type: ignore[attr-defined]
        super().load_setitem()  # type: ignore[misc]

    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        self._check_keys(self.stack[::2])  # type: ignore[attr-defined]
        super().load_setitems()  # type: ignore[misc]

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_dict(self) -> None:
        self._check_keys(self.stack[::2])  # type: ignore[attr-defined]
        super().load_dict()  # type: ignore[misc]

    dispatch[pickle.DICT[0]] = load_dict

    def load_additems(self) -> None:
        self._check_keys(self.stack)  # type: ignore[attr-defined]
        super().load_additems()  # type: ignore[misc]

    dispatch[pickle.ADDITEMS[0]] = load_additems

    def load_frozenset(self) -> None:
        self._check_keys(self.stack)  # type: ignore[attr-defined]
        super().load_frozenset()  # type: ignore[misc]

    dispatch[pickle.FROZENSET[0]] = load_frozenset


class _LenientUnpickler(PlainUnpickler):
    """Like its base, but a name that must not be reached becomes a stand-in that does nothing."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._names:
            return self._names[module, name]
        return _Refused(f"the name {module}.{name}, which is not NumPy's")

    def persistent_load(self, pid: Any) -> Any:
        return _Refused("a reference to something outside the file")


def read_array_pickle(path: str | os.PathLike[str]) -> Any:
    """Read a pickle of NumPy arrays of real numbers in dicts, lists, and tuples, and plain values.

    Python 2 files (`latin1` strings) are supported. Raises InputError naming the file if it is missing,
    broken, larger than 256 MiB, or contains any other class; no class or function of the file is called. If
    only some entries of a dict are affected, accessing one of them raises.
    """
    return parse_pickle(path, _content(path_of(path, "a pickle")), _NUMPY)


def read_model_pickle(path: str | os.PathLike[str]) -> Any:
    """Like `read_array_pickle`, for face models whose arrays may be chumpy's (FLAME's).

    `chumpy.ch.Ch` and `chumpy.reordering.Select` of it become the arrays they hold, without chumpy;
    `scipy.sparse.csc_matrix` becomes a dense array, without SciPy; sets and tensors become None; object
    arrays become lists. Raises the same errors.
    """
    return parse_pickle(path, _content(path_of(path, "a pickle")), _MODEL)


def parse_pickle(
    path: str | os.PathLike[str], content: bytes, names: dict[tuple[str, str], Any] = _MODEL
) -> Any:
    """The content of a pickle's bytes, by default like `read_model_pickle`; path is for messages."""
    try:
        return _plain(path, _LenientUnpickler(io.BytesIO(content), names).load(), {})
    except Exception as error:  # a damaged pickle fails in many ways
        raise _no_arrays(path, _words(error)) from error


def _no_arrays(path: str | os.PathLike[str], reason: str) -> InputError:
    return InputError(f"{path}: expected a pickle of NumPy arrays only, got {' '.join(reason.split())[:200]}")


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _content(file: Path) -> bytes:
    try:
        with open(regular_file(file), "rb") as stream:
            content = stream.read(_LARGEST + 1)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror or error}); expected a pickle of arrays"
        ) from error
    if len(content) > _LARGEST:
        raise InputError(f"{file}: expected a pickle of at most {_LARGEST >> 20} MiB, got a larger file")
    return content


def _plain(path: str | os.PathLike[str], value: Any, known: dict[int, Any]) -> Any:
    """The value without stand-ins; path is for messages.

    known: results by id, so that shared parts are visited once.
    """
    if callable(value):
        raise pickle.UnpicklingError(getattr(value, "reason", "a class or function"))
    if not isinstance(value, (dict, list, tuple, *_STAND_INS)):
        return value
    if id(value) in known:
        if isinstance(known[id(value)], _Refused):
            raise pickle.UnpicklingError(known[id(value)].reason)
        return known[id(value)]
    known[id(value)] = _Refused("a part that contains itself")
    result: Any = None
    try:
        if isinstance(value, _ObjectArray) and value.objects is not None:
            result = [_plain(path, item, known) for item in value.objects]
        elif isinstance(value, _Array):
            result = _plain(path, value.array, known)
        elif isinstance(value, dict):
            result = _Entries(path)
            for key, item in value.items():
                result[key] = _entry(path, item, known)
        elif isinstance(value, (list, tuple)):
            result = type(value)(_plain(path, item, known) for item in value)
        elif isinstance(value, (_Chumpy, _Selection)):
            result = _chumpy(path, value, known)
        elif isinstance(value, _Columns):
            state = value.state if isinstance(value.state, dict) else {}
            parts = ("_shape", "data", "indices", "indptr")
            result = dense_from_columns(*(_plain(path, state.get(part), known) for part in parts))
    except Exception as error:
        known[id(value)] = _Refused(_words(error))
        raise
    known[id(value)] = result
    return result


def _entry(path: str | os.PathLike[str], value: Any, known: dict[int, Any]) -> Any:
    try:
        return _plain(path, value, known)
    except Exception as error:  # RecursionError, too
        return _Refused(_words(error))


def _chumpy(path: str | os.PathLike[str], value: _Object, known: dict[int, Any]) -> NDArray[Any]:
    key = "x" if isinstance(value, _Chumpy) else "a"
    if not isinstance(value.state, dict) or key not in value.state:
        raise pickle.UnpicklingError("a chumpy array without its numbers")
    array = _plain(path, value.state[key], known)
    if not isinstance(array, np.ndarray):
        raise pickle.UnpicklingError("a chumpy array that is computed, not stored")
    if isinstance(value, _Chumpy):
        return array
    chosen, shape = (_plain(path, value.state.get(key), known) for key in ("idxs", "preferred_shape"))
    array = array.ravel()[np.asarray(chosen)]
    return array if shape is None else array.reshape(tuple(int(size) for size in shape))
