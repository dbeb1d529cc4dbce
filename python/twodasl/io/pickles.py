"""Reading published pickles of NumPy arrays without running them.

A pickle is a program. This reader knows the few names that NumPy writes for an array and replaces them with
stand-ins that only hold bytes, so that nothing else can be reached. `read_model_pickle` knows a few more
names, those in FLAME's pickles, and treats them as data in the same way. Objects of any other name are not
created; a dict entry that holds one, or a broken array, raises only when it is accessed.
"""

from __future__ import annotations

import io
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
from .pickle_stand_ins import (
    MODEL_NAMES,
    NUMPY_NAMES,
    STAND_INS,
    Chumpy,
    Columns,
    Entries,
    ObjectArray,
    PickledArray,
    PickledObject,
    Refused,
    Selection,
    no_arrays,
    reason_of,
)
from .sparse import dense_from_columns

_LARGEST = 1 << 28  # bytes; FLAME's files are a fifth of this


# The Python unpickler, because the one in C allocates whatever size a file declares.
class PlainUnpickler(pickle._Unpickler):
    """Reads a pickle in which only `names`, pairs of (module, name), can be reached or called."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stand_ins: ClassVar[tuple[type, ...]] = STAND_INS
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
        return Refused(f"the name {module}.{name}, which is not NumPy's")

    def persistent_load(self, pid: Any) -> Any:
        return Refused("a reference to something outside the file")


def read_array_pickle(path: str | os.PathLike[str]) -> Any:
    """Read a pickle of NumPy arrays of real numbers in dicts, lists, and tuples, and plain values.

    Python 2 files (`latin1` strings) are supported. Raises InputError naming the file if it is missing,
    broken, larger than 256 MiB, or contains any other class; no class or function of the file is called. If
    only some entries of a dict are affected, accessing one of them raises.
    """
    return parse_pickle(path, _content(path_of(path, "a pickle")), NUMPY_NAMES)


def read_model_pickle(path: str | os.PathLike[str]) -> Any:
    """Like `read_array_pickle`, for face models whose arrays may be chumpy's (FLAME's).

    `chumpy.ch.Ch` and `chumpy.reordering.Select` of it become the arrays they hold, without chumpy;
    `scipy.sparse.csc_matrix` becomes a dense array, without SciPy; sets and tensors become None; object
    arrays become lists. Raises the same errors.
    """
    return parse_pickle(path, _content(path_of(path, "a pickle")), MODEL_NAMES)


def parse_pickle(
    path: str | os.PathLike[str], content: bytes, names: dict[tuple[str, str], Any] = MODEL_NAMES
) -> Any:
    """The content of a pickle's bytes, by default like `read_model_pickle`; path is for messages."""
    try:
        return _plain(path, _LenientUnpickler(io.BytesIO(content), names).load(), {})
    except Exception as error:  # a damaged pickle fails in many ways
        raise no_arrays(path, reason_of(error)) from error


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
    if not isinstance(value, (dict, list, tuple, *STAND_INS)):
        return value
    if id(value) in known:
        if isinstance(known[id(value)], Refused):
            raise pickle.UnpicklingError(known[id(value)].reason)
        return known[id(value)]
    known[id(value)] = Refused("a part that contains itself")
    result: Any = None
    try:
        if isinstance(value, ObjectArray) and value.objects is not None:
            result = [_plain(path, item, known) for item in value.objects]
        elif isinstance(value, PickledArray):
            result = _plain(path, value.array, known)
        elif isinstance(value, dict):
            result = Entries(path)
            for key, item in value.items():
                result[key] = _entry(path, item, known)
        elif isinstance(value, (list, tuple)):
            result = type(value)(_plain(path, item, known) for item in value)
        elif isinstance(value, (Chumpy, Selection)):
            result = _chumpy(path, value, known)
        elif isinstance(value, Columns):
            state = value.state if isinstance(value.state, dict) else {}
            parts = ("_shape", "data", "indices", "indptr")
            result = dense_from_columns(*(_plain(path, state.get(part), known) for part in parts))
    except Exception as error:
        known[id(value)] = Refused(reason_of(error))
        raise
    known[id(value)] = result
    return result


def _entry(path: str | os.PathLike[str], value: Any, known: dict[int, Any]) -> Any:
    try:
        return _plain(path, value, known)
    except Exception as error:  # RecursionError, too
        return Refused(reason_of(error))


def _chumpy(path: str | os.PathLike[str], value: PickledObject, known: dict[int, Any]) -> NDArray[Any]:
    key = "x" if isinstance(value, Chumpy) else "a"
    if not isinstance(value.state, dict) or key not in value.state:
        raise pickle.UnpicklingError("a chumpy array without its numbers")
    array = _plain(path, value.state[key], known)
    if not isinstance(array, np.ndarray):
        raise pickle.UnpicklingError("a chumpy array that is computed, not stored")
    if isinstance(value, Chumpy):
        return array
    chosen, shape = (_plain(path, value.state.get(key), known) for key in ("idxs", "preferred_shape"))
    array = array.ravel()[np.asarray(chosen)]
    return array if shape is None else array.reshape(tuple(int(size) for size in shape))
