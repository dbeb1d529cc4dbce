"""Torch's pickles of tensors, numbers, and text, read as data.

Torch's names for tensors are replaced with stand-ins that only make views of storages; the caller supplies
the storages. No tensor is larger than its storage, and no part occurs more often than it is written.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import InputError
from .pickles import PlainUnpickler

Fetch = Callable[[str, torch.dtype, int], Tensor]
"""Returns the storage (n,) for a key, a dtype, and a number of entries n, which come from the file."""

_DTYPES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
}


class ForeignName(InputError):
    """A name that does not belong to a plain tensor."""


class _Ordered(dict[Any, Any]):
    """Stands in for collections.OrderedDict; metadata that torch adds to a state dict is dropped."""

    def __init__(self, pairs: Any = ()) -> None:
        if not isinstance(pairs, (list, tuple)):
            raise pickle.UnpicklingError("a dictionary of no pairs")
        super().__init__((_key(key), value) for key, value in pairs)

    def __setstate__(self, state: object) -> None:
        pass


class _Variable:
    """Stands in for torch.nn.Parameter and, in files older than torch 0.4, for tensors."""

    tensor: object

    def __new__(cls, tensor: object = None, *_: object) -> _Variable:
        self = super().__new__(cls)
        self.tensor = tensor
        return self

    def __setstate__(self, state: tuple) -> None:
        if len(state) == 4:
            self.tensor = _tensor(*state)
        elif len(state) == 5:
            self.tensor = state[0]


def _parameter(tensor: object, *_: object) -> object:
    """Stands in for torch._utils._rebuild_parameter."""
    return tensor


def _size(sizes: object = ()) -> tuple:
    """Stands in for torch.Size."""
    if not isinstance(sizes, (list, tuple)):
        raise pickle.UnpicklingError("a size of no numbers")
    return tuple(sizes)


def _tensor(storage: object, offset: object, size: object, stride: object, *_: object) -> Tensor:
    """Stands in for torch._utils._rebuild_tensor: a view that lies inside its storage."""
    sizes, steps = _counts(size), _counts(stride)
    (start,) = _counts((offset,))
    if not isinstance(storage, Tensor):
        raise pickle.UnpicklingError("a tensor of no storage")
    entries = math.prod(sizes)
    last = start + sum((n - 1) * step for n, step in zip(sizes, steps, strict=True))
    # An expanded tensor is larger than its storage: a few bytes could fill all memory.
    if entries > len(storage) or (entries and last >= len(storage)):
        raise pickle.UnpicklingError("a tensor larger than its storage")
    if not entries:
        return storage.new_empty(sizes)
    return storage.as_strided(sizes, steps, storage.storage_offset() + start)


def _counts(values: object) -> tuple[int, ...]:
    if not isinstance(values, tuple) or any(type(value) is not int or value < 0 for value in values):
        raise pickle.UnpicklingError("sizes that are no counts")
    return values


_NAMES: dict[tuple[str, str], Any] = {
    **{("torch", f"{name}Storage"): dtype for name, dtype in _DTYPES.items()},
    **{("torch", f"{name}Tensor"): _Variable for name in _DTYPES},
    ("collections", "OrderedDict"): _Ordered,
    ("torch", "Size"): _size,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.nn.parameter", "Parameter"): _Variable,
}

# The names in torch's pickles.
_INSTRUCTIONS = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.REDUCE, pickle.NEWOBJ, pickle.BUILD),
    *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET, pickle.BINPERSID),
    *(pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS, pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS),
    *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT, pickle.BININT1, pickle.BININT2),
    *(pickle.LONG1, pickle.BINFLOAT, pickle.BINUNICODE, pickle.SHORT_BINSTRING),
)


def _key(value: Any) -> Any:
    # Hashing nested tuples may take forever.
    if not isinstance(value, (str, int)):
        raise pickle.UnpicklingError("a key that is neither text nor a number")
    return value


def _dictionary(value: Any) -> None:
    if not isinstance(value, dict):
        raise pickle.UnpicklingError("entries of something that is no dictionary")


def _arguments(value: Any) -> tuple:
    # A tensor would be unpacked into all of its entries.
    if not isinstance(value, tuple):
        raise pickle.UnpicklingError("arguments that are no tuple")
    return value


class TensorUnpickler(PlainUnpickler):
    """Reads one pickle; `load_plain` returns its content, and `storages` those it names, by key."""

    dispatch: ClassVar[dict[int, Any]] = {code[0]: PlainUnpickler.dispatch[code[0]] for code in _INSTRUCTIONS}
    stand_ins = (_Ordered, _Variable)

    def __init__(self, stream: io.BytesIO, fetch: Fetch) -> None:
        super().__init__(stream, _NAMES)
        self._stream, self._fetch = stream, fetch
        self.storages: dict[str, Tensor] = {}

    def load_plain(self) -> Any:
        """A dict, list, and tuple tree of tensors, numbers, and text; raises on anything else."""
        # Everything written takes a byte, but a few lists that contain one another can stand for any number.
        return _plain(self.load(), [self._stream.tell()])

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise ForeignName
        return _NAMES[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        word, dtype, key, _, count, *view = _arguments(pid)
        if word != "storage" or type(dtype) is not torch.dtype or type(count) is not int or count < 0:
            raise pickle.UnpicklingError("a reference to something that is no storage")
        if _key(key) not in self.storages:
            self.storages[key] = self._fetch(key, dtype, count)
        storage = self.storages[key]
        if storage.dtype != dtype or len(storage) != count:
            raise pickle.UnpicklingError("a storage of two kinds")
        if view and view[0] is not None:  # before torch 0.4: a shared part
            _, start, length = view[0]
            return storage.narrow(0, start, length)
        return storage

    def load_reduce(self) -> None:
        _arguments(self.stack[-1])  # type: ignore[attr-defined]
        super().load_reduce()  # type: ignore[misc]

    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_newobj(self) -> None:
        _arguments(self.stack[-1])  # type: ignore[attr-defined]
        super().load_newobj()  # type: ignore[misc]

    dispatch[pickle.NEWOBJ[0]] = load_newobj

    def load_setitem(self) -> None:
        _key(self.stack[-2])  # type: ignore[attr-defined]
        _dictionary(self.stack[-3])  # type: ignore[attr-defined]
        super().load_setitem()  # type: ignore[misc]

    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        for key in self.stack[::2]:  # type: ignore[attr-defined]
            _key(key)
        _dictionary(self.metastack[-1][-1])  # type: ignore[attr-defined]
        super().load_setitems()  # type: ignore[misc]

    dispatch[pickle.SETITEMS[0]] = load_setitems


def _plain(value: Any, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise pickle.UnpicklingError("parts that hold themselves or one another")
    if isinstance(value, dict):
        return {key: _plain(item, left) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item, left) for item in value)
    if isinstance(value, _Variable):
        value = value.tensor
        if not isinstance(value, Tensor):
            raise pickle.UnpicklingError("a parameter without its tensor")
    if type(value) is int and not -(1 << 63) <= value < 1 << 64:
        raise pickle.UnpicklingError("a whole number beyond 64 bits")
    if not (value is None or type(value) in (bool, int, float, str, Tensor)):
        raise pickle.UnpicklingError("something that is neither a tensor nor a number nor text")
    return value
