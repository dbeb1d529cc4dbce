"""MATLAB files of versions 5 to 7: the real arrays in them, and those in structs.

The layout is MathWorks' "MAT-File Format". A reader of our own, because scipy's takes a file at its word: a
damaged one ends the process, and a small compressed one may fill the memory. Here every size is compared with
what is left of the part that it is in, and `LARGEST` bounds what is decompressed.

A file is a header of 128 bytes and elements, each a tag (type, bytes) and its content; a variable is an
element of type 14, or 15 if compressed, of elements: flags with its class, dimensions, name, values. A
struct's values are the length of a field's name, the names, and a variable without a name for each field.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...errors import InputError
from .containers import LARGEST, Array, unreadable

MATRIX, COMPRESSED = 14, 15
STRUCT = 2
# Types of an element's content, and classes of a variable that hold real numbers.
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
COMPLEX = 0x800
# Enough to hold the flags, dimensions and name in front of a variable's values.
FRONT = 4096

Value = Array | dict[str, Array] | None


class _Damaged(Exception):
    """The content contradicts itself; the reader of the file says which file."""


def mat_names(path: Path) -> set[str]:
    """Names of a MATLAB file's variables; their values are not loaded."""
    return set(_read(path, None))


def read_mat(path: Path, names: Iterable[str]) -> dict[str, Any]:
    """Those of the named variables that a MATLAB file has.

    A real array comes as an array of its class; a struct of one element as the dict of its fields that are
    real arrays; anything else as None. Raises InputError naming the file that is damaged, cut off, of another
    version, or larger than `LARGEST`.
    """
    return _read(path, set(names))


def _read(path: Path, wanted: set[str] | None) -> dict[str, Value]:
    """wanted: the variables whose values are read; None: of none, but all are listed."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(128)
            if head.startswith(b"MATLAB 7.3"):
                raise InputError(f"{path}: is of MATLAB's version 7.3; save it with '-v7'")
            order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
            if not head.startswith(b"MATLAB 5") or order is None:
                raise InputError(f"{path}: expected a MATLAB file of version 5 to 7, got another file")
            return dict(_variables(stream, order, wanted))
    except OSError as error:
        raise unreadable(path, error) from error
    except _Damaged as error:
        raise InputError(f"{path}: is damaged or cut off ({error}); copy it again") from error


def _variables(stream: BinaryIO, order: str, wanted: set[str] | None) -> Iterator[tuple[str, Value]]:
    end = stream.seek(0, 2)
    stream.seek(128)
    budget = LARGEST
    while (at := stream.tell()) < end:
        kind, size = np.frombuffer(stream.read(8).ljust(8), order + "u4").tolist()
        if size > end - at - 8:
            raise _Damaged(f"a variable of {size} bytes where {end - at - 8} are left")
        if kind in (MATRIX, COMPRESSED):
            front = stream.read(min(size, FRONT))
            if kind == COMPRESSED:
                front = _inflated(front, FRONT)[8:]  # without the tag of the variable inside
            name = _Parts(front, order).heading()[2]
            if wanted is None:
                yield name, None
            elif name in wanted:
                stream.seek(at + 8)
                content = stream.read(size)
                if kind == COMPRESSED:
                    content = _inflated(content, budget + 1)
                budget -= len(content)
                if budget < 0:
                    raise _Damaged(f"variables of more than {LARGEST >> 30} GiB together")
                yield name, _value(content[8:] if kind == COMPRESSED else content, order)
        stream.seek(at + 8 + size)


def _inflated(content: bytes, most: int) -> bytes:
    """The first `most` bytes of compressed content."""
    try:
        return zlib.decompressobj().decompress(content, max(1, most))
    except zlib.error as error:
        raise _Damaged(str(error)) from error


def _value(content: bytes, order: str) -> Value:
    parts = _Parts(content, order)
    flags, shape, _ = parts.heading()
    if flags & 0xFF == STRUCT and math.prod(shape) == 1:
        return {name: value for name, value in parts.fields() if isinstance(value, np.ndarray)}
    return parts.numbers(flags, shape)


class _Parts:
    """The elements of one variable, from front to back."""

    def __init__(self, content: bytes, order: str) -> None:
        self.content, self.order, self.at = content, order, 0

    def element(self) -> tuple[int, bytes]:
        """Type and content of the next element; one of up to 4 bytes may lie in its own tag."""
        tag = self.content[self.at : self.at + 8]
        if len(tag) < 8:
            raise _Damaged("an element is missing")
        kind, size = np.frombuffer(tag, self.order + "u4").tolist()
        if kind >> 16:
            kind, size, start, step = kind & 0xFFFF, kind >> 16, self.at + 4, 8
            fits = size <= 4
        else:
            start, step = self.at + 8, 8 + size + -size % 8
            fits = size <= len(self.content) - start
        if not fits:
            raise _Damaged(f"an element of {size} bytes where fewer are left")
        self.at += step
        return kind, self.content[start : start + size]

    def array(self) -> Array:
        kind, content = self.element()
        dtype = np.dtype(self.order + TYPES.get(kind, "u1"))
        if kind not in TYPES or len(content) % dtype.itemsize:
            raise _Damaged(f"{len(content)} bytes of numbers of type {kind}")
        return np.frombuffer(content, dtype)

    def heading(self) -> tuple[int, tuple[int, ...], str]:
        """Flags, shape and name."""
        flags, shape = self.array(), self.array()
        name = self.element()[1]
        if flags.size != 2 or not 2 <= shape.size <= 32 or shape.dtype.kind == "f" or (shape < 0).any():
            raise _Damaged("a variable without a class or a shape")
        return int(flags[0]), tuple(shape.tolist()), name.decode("latin1")

    def numbers(self, flags: int, shape: tuple[int, ...]) -> Array | None:
        if flags & 0xFF not in CLASSES or flags & COMPLEX:
            return None
        values = self.array()
        if values.size != math.prod(shape):
            raise _Damaged(f"{values.size} numbers for the shape {shape}")
        return values.astype(CLASSES[flags & 0xFF]).reshape(shape, order="F")

    def fields(self) -> Iterator[tuple[str, Array | None]]:
        length, names = self.array(), self.element()[1]
        size = int(length[0]) if length.size == 1 and length.dtype.kind in "iu" else 0
        if size < 1 or len(names) % size:
            raise _Damaged("a struct without names")
        for start in range(0, len(names), size):
            kind, content = self.element()
            if kind != MATRIX:
                raise _Damaged(f"a field of type {kind}")
            value: Array | None = None
            if content:  # a field without a value has none
                parts = _Parts(content, self.order)
                flags, shape, _ = parts.heading()
                value = parts.numbers(flags, shape)
            yield names[start : start + size].split(b"\0")[0].decode("latin1"), value
