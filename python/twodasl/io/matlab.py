"""MATLAB files of versions 5 to 7: the real arrays in them, and those in structs.

The layout is MathWorks' "MAT-File Format". A reader of our own, because SciPy's takes a file at its word: a
damaged one ends the process (seen with SciPy 1.17), and a small compressed one may fill the memory. Here
every size is compared with what is left of the part that it is in, and what is read is bounded.

A file is a head of 128 bytes and elements, each a tag (type, bytes) and its content; a variable is an element
of type 14, or 15 if compressed, of elements: flags with its class, dimensions, name, values. A struct's
values are the length of a field's name, the names, and a variable without a name for each field.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .files import regular_file

LARGEST = 1 << 31
"""Bytes that the arrays read from one file may take, where the caller says nothing else."""

# How a head ends: version 1.0 is of MATLAB 5 to 7, 2.0 of 7.3, each in the byte order of its writer.
ORDERS = {b"\0\1IM": "<", b"\1\0MI": ">"}
HDF5 = (b"\0\2IM", b"\2\0MI")
MATRIX, COMPRESSED = 14, 15
# Types of an element's content, and classes of a variable: those that hold real numbers, and the others.
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
WHOLE = (5, 6)
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
OTHERS = {1: "cell", 2: "struct", 3: "object", 4: "text", 5: "sparse", 16: "function", 17: "object"}
STRUCT, OPAQUE = 2, 17
COMPLEX, LOGICAL = 0x800, 0x200
# Enough to hold the flags, dimensions and name in front of a variable's values.
FRONT = 4096
# Variables of a file, or fields of a struct, beyond which it is damaged; to read on could take minutes.
MANY = 1 << 16

Value = NDArray[Any] | dict[str, NDArray[Any]] | str


class _Damaged(Exception):
    """The content contradicts itself; the reader of the file says which file."""


class _TooLarge(Exception):
    """The content takes more memory than the caller allows."""


def mat_names(path: Path) -> set[str]:
    """Names of a MATLAB file's variables; their values are not loaded. Raises as `read_mat` does."""
    return set(_read(path, None, LARGEST))


def read_mat(path: Path, names: Iterable[str], most: int = LARGEST) -> dict[str, Value]:
    """Those of the named variables that a MATLAB file has.

    A real array comes as an array of its class; a struct of one element as the dict of its fields that are
    real arrays; anything else as a word for what it is. Raises InputError naming the file that is missing,
    damaged, cut off, of another version, or whose named variables take more than `most` bytes together.
    """
    return _read(path, set(names), most)


def _read(path: Path, wanted: set[str] | None, most: int) -> dict[str, Value]:
    """wanted: the variables whose values are read; None: of none, but all are listed."""
    try:
        with open(regular_file(path), "rb") as stream:
            end = stream.read(128)[124:]
            if end in HDF5:
                raise InputError(f"{path}: is of MATLAB's version 7.3; save it with '-v7'")
            if end not in ORDERS:
                raise InputError(
                    f"{path}: expected a MATLAB file of version 5 to 7, got another file; save it with '-v7'"
                )
            return dict(_variables(stream, ORDERS[end], wanted, most))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (_Damaged, zlib.error) as error:
        raise InputError(f"{path}: is damaged or cut off ({error}); copy it again") from error
    except _TooLarge as error:
        raise InputError(
            f"{path}: expected variables of at most {most >> 20} MiB together, got larger ones"
        ) from error


def _variables(
    stream: BinaryIO, order: str, wanted: set[str] | None, most: int
) -> Iterator[tuple[str, Value]]:
    end, at = stream.seek(0, 2), 128
    for _ in range(MANY + 1):
        if at == end:
            return
        stream.seek(at)
        kind, size = struct.unpack(order + "II", stream.read(8).ljust(8, b"\xff"))
        if size > end - at - 8:
            raise _Damaged("a variable goes on beyond the end of the file")
        if kind not in (MATRIX, COMPRESSED):
            raise _Damaged(f"an element of type {kind} where a variable begins")
        front = stream.read(min(size, FRONT))
        if kind == COMPRESSED:  # the variable inside has a tag of its own
            front = zlib.decompressobj().decompress(front, FRONT)[8:]
        name = _Parts(front, order, 0).heading()[2]
        if wanted is None:
            yield name, ""
        elif name in wanted:
            if size > most:
                raise _TooLarge
            stream.seek(at + 8)
            content = stream.read(size)
            parts = _Parts(_inflated(content, most) if kind == COMPRESSED else content, order, most)
            if kind == COMPRESSED:
                parts = parts.variable()
            yield name, parts.value()
            most = min(parts.most, most - len(parts.content))
        at += 8 + size
    raise _Damaged(f"more than {MANY} variables")


def _inflated(content: bytes, most: int) -> bytes:
    inner = zlib.decompressobj()
    content = inner.decompress(content, most + 1)
    if len(content) > most:
        raise _TooLarge
    if not inner.eof:
        raise _Damaged("a compressed variable has no end")
    return content


class _Parts:
    """The elements of one variable, from front to back, and the bytes that its arrays may take."""

    def __init__(self, content: bytes | memoryview, order: str, most: int) -> None:
        self.content, self.order, self.most, self.at = memoryview(content), order, most, 0

    def element(self) -> tuple[int, memoryview]:
        """Type and content of the next element; one of up to 4 bytes may lie in its own tag."""
        if self.at + 8 > len(self.content):
            raise _Damaged("an element is missing")
        kind, size = struct.unpack_from(self.order + "II", self.content, self.at)
        if kind >> 16:
            kind, size, start, step = kind & 0xFFFF, kind >> 16, self.at + 4, 8
            fits = size <= 4
        else:
            start, step = self.at + 8, 8 + size + -size % 8
            fits = size <= len(self.content) - start
        if not fits:
            raise _Damaged("an element goes on beyond the end of its variable")
        self.at += step
        return kind, self.content[start : start + size]

    def array(self, kinds: Collection[int] = TYPES) -> NDArray[Any]:
        kind, content = self.element()
        dtype = np.dtype(self.order + TYPES.get(kind, "u1"))
        if kind not in kinds or len(content) % dtype.itemsize:
            raise _Damaged(f"{len(content)} bytes of numbers of type {kind}")
        return np.frombuffer(content, dtype)

    def variable(self) -> _Parts:
        """The parts of a variable that is the next element."""
        kind, content = self.element()
        if kind != MATRIX:
            raise _Damaged(f"an element of type {kind} where a variable begins")
        return _Parts(content, self.order, self.most)

    def heading(self) -> tuple[int, tuple[int, ...], str]:
        """Flags, shape and name."""
        flags = self.array(WHOLE)
        opaque = flags.size == 2 and flags[0] & 0xFF == OPAQUE  # such objects have no shape
        shape = () if opaque else tuple(self.array(WHOLE).tolist())
        # NumPy multiplies the other lengths even where one is 0.
        sane = 2 <= len(shape) <= 32 and min(shape) >= 0 and math.prod(n or 1 for n in shape) < 1 << 56
        if flags.size != 2 or not (opaque or sane):
            raise _Damaged("a variable without a class or a shape")
        return int(flags[0]), shape, bytes(self.element()[1]).decode("latin1")

    def value(self) -> Value:
        flags, shape, _ = self.heading()
        if flags & 0xFF == STRUCT and math.prod(shape) == 1:
            return {name: value for name, value in self.fields() if isinstance(value, np.ndarray)}
        return self.numbers(flags, shape)

    def numbers(self, flags: int, shape: tuple[int, ...]) -> NDArray[Any] | str:
        if flags & 0xFF not in CLASSES:
            return OTHERS.get(flags & 0xFF, "something else")
        if flags & (COMPLEX | LOGICAL):
            return "complex numbers" if flags & COMPLEX else "truth values"
        values, dtype = self.array(), np.dtype(CLASSES[flags & 0xFF])
        if values.size != math.prod(shape):
            raise _Damaged(f"{values.size} numbers for the shape {shape}")
        # They may be stored in a smaller type than the array's.
        self.most -= values.size * dtype.itemsize
        if self.most < 0:
            raise _TooLarge
        with np.errstate(all="ignore"):  # only what is damaged does not fit
            return values.astype(dtype).reshape(shape, order="F")

    def fields(self) -> Iterator[tuple[str, NDArray[Any] | str]]:
        length, names = self.array(WHOLE), bytes(self.element()[1])
        size = int(length[0]) if length.size == 1 else 0
        if size < 1 or len(names) % size or len(names) // size > MANY:
            raise _Damaged("a struct without names")
        for start in range(0, len(names), size):
            parts = self.variable()
            if parts.content:  # a field without a value has none
                flags, shape, _ = parts.heading()
                value = parts.numbers(flags, shape)
                self.most = parts.most
                yield names[start : start + size].split(b"\0")[0].decode("latin1"), value
