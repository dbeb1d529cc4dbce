"""MATLAB files of versions 5 to 7: the real arrays in them, including those inside structs.

The layout is MathWorks' "MAT-File Format". This is our own reader because SciPy's trusts the file: a damaged
one crashes the process (seen with SciPy 1.17), and a small compressed one can exhaust memory. Here, every
size is checked against what is left of the enclosing part, and the total is bounded.

A file is a header of 128 bytes followed by elements, each a tag (type, size) and its content. A variable is
an element of type 14 (or 15 if compressed) that contains elements: flags with its class, dimensions, name,
values. The values of a struct are the length of a field name, the names, and one unnamed variable per field.
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
"""Default limit in bytes for the arrays read from one file."""

# End of the header: version 1.0 is MATLAB 5 to 7, 2.0 is 7.3, each in the writer's byte order.
ORDERS = {b"\0\1IM": "<", b"\1\0MI": ">"}
HDF5 = (b"\0\2IM", b"\2\0MI")
MATRIX, COMPRESSED = 14, 15
# Element types and variable classes: those that hold real numbers, and the others.
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
WHOLE = (5, 6)
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
OTHERS = {1: "cell", 2: "struct", 3: "object", 4: "text", 5: "sparse", 16: "function", 17: "object"}
STRUCT, OPAQUE = 2, 17
COMPLEX, LOGICAL = 0x800, 0x200
# Enough for the flags, dimensions, and name that precede a variable's values.
FRONT = 4096
# A file with more variables, or a struct with more fields, is damaged; reading on could take minutes.
MANY = 1 << 16

Value = NDArray[Any] | dict[str, NDArray[Any]] | str


class _Damaged(Exception):
    """The content contradicts itself; the caller adds the file's name."""


class _TooLarge(Exception):
    """The content needs more memory than the caller allows."""


def mat_names(path: Path) -> set[str]:
    """Names of a MATLAB file's variables; values are not loaded. Raises like `read_mat`."""
    return set(_read(path, None, LARGEST))


def read_mat(path: Path, names: Iterable[str], most: int = LARGEST) -> dict[str, Value]:
    """Read those of the named variables that a MATLAB file contains.

    A real array is returned as an array of its class; a struct with one element as a dict of those fields
    that are real arrays; anything else as a word that describes it. Raises InputError naming the file if it
    is missing, damaged, truncated, of another version, or if the named variables take more than `most` bytes
    together.
    """
    return _read(path, set(names), most)


def _read(path: Path, wanted: set[str] | None, most: int) -> dict[str, Value]:
    """wanted: variables whose values are read; None reads no values and lists all names."""
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
        if kind == COMPRESSED:  # the variable inside has its own tag
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
    """The elements of one variable, in order, with a budget in bytes for its arrays."""

    def __init__(self, content: bytes | memoryview, order: str, most: int) -> None:
        self.content, self.order, self.most, self.at = memoryview(content), order, most, 0

    def element(self) -> tuple[int, memoryview]:
        """Type and content of the next element; up to 4 bytes may be stored in the tag itself."""
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
        """The parts of the variable stored as the next element."""
        kind, content = self.element()
        if kind != MATRIX:
            raise _Damaged(f"an element of type {kind} where a variable begins")
        return _Parts(content, self.order, self.most)

    def heading(self) -> tuple[int, tuple[int, ...], str]:
        """Flags, shape and name."""
        flags = self.array(WHOLE)
        opaque = flags.size == 2 and flags[0] & 0xFF == OPAQUE  # such objects have no shape
        shape = () if opaque else tuple(self.array(WHOLE).tolist())
        # NumPy multiplies the other dimensions even if one is 0.
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
        # The values may be stored in a smaller type than the array's.
        self.most -= values.size * dtype.itemsize
        if self.most < 0:
            raise _TooLarge
        with np.errstate(all="ignore"):  # only damaged values do not fit
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
