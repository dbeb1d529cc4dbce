"""Arrays of numbers in MATLAB files that strangers made.

Read here and not by SciPy, whose reader takes sizes in a file on trust: a damaged file can end the process
(seen with SciPy 1.17). The format is level 5 of MathWorks' "MAT-File Format", which MATLAB 5 to 7 write:
after a head of 128 bytes, elements of a type, a size and content; a variable is an element of elements.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

LARGEST = 64 << 20
"""Bytes of a file, and of one variable in it, beyond which it is refused."""

_HEAD = 128
_COMPRESSED, _MATRIX = 15, 14
_INT32, _UINT32 = 5, 6
# Element types of numbers, and the classes of arrays (6 and 7 floating point, then integers).
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {1: "cell", 2: "struct", 3: "object", 4: "text", 5: "sparse"}
_FIRST_NUMERIC, _LAST_NUMERIC = 6, 15
_COMPLEX, _LOGICAL = 0x0800, 0x0200


def read_variables(file: Path, shapes: Mapping[str, Sequence[int | None]]) -> dict[str, NDArray[np.float64]]:
    """The named variables of a MATLAB file of version 5 to 7 as float64; None in a shape is any length.

    Raises InputError naming the file when it is missing or broken, or a variable is missing, of another
    shape, or not of finite real numbers.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise InputError(
                f"{file}: is larger than {LARGEST >> 20} MiB; expected a MATLAB file of landmarks"
            )
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error
    try:
        variables = dict(_variables(content, set(shapes)))
    except (_Damaged, struct.error, zlib.error) as error:
        reason = str(error) if isinstance(error, _Damaged) else "it is damaged or cut off"
        raise InputError(f"{file}: expected a MATLAB file, got one that cannot be read: {reason}") from error
    found = {}
    for name, shape in shapes.items():
        array = variables.get(name)
        if array is None:
            raise InputError(f"{file}: has no variable {name}")
        sizes = ", ".join("n" if size is None else str(size) for size in shape)
        wanted = f"expected {name} ({sizes}) of numbers"
        if isinstance(array, str):
            raise InputError(f"{file}: {wanted}, got {array}")
        fits = array.ndim == len(shape) and all(
            want is None or want == got for want, got in zip(shape, array.shape, strict=True)
        )
        if not fits:
            raise InputError(f"{file}: {wanted}, got {array.shape} {array.dtype}")
        found[name] = np.array(array, np.float64)
        if not np.isfinite(found[name]).all():
            raise InputError(f"{file}: {name} holds NaN or infinity")
    return found


class _Damaged(Exception):
    """What is wrong with a file, in words."""


def _variables(content: bytes, names: set[str]) -> Iterator[tuple[str, NDArray[Any] | str]]:
    """Name and array of the wanted variables; words for what is no array of real numbers."""
    if len(content) < _HEAD:
        raise _Damaged("it is too short")
    mark = content[126:128]
    if mark not in (b"IM", b"MI"):
        raise _Damaged("it is not of version 5 to 7")
    order = "<" if mark == b"IM" else ">"
    (version,) = struct.unpack_from(order + "H", content, 124)
    if version != 0x0100:
        raise _Damaged("it is of version 7.3; save it with -v7")
    for kind, body in _elements(content[_HEAD:], order):
        if kind == _COMPRESSED:
            inner = zlib.decompressobj()
            unpacked = inner.decompress(body, LARGEST)
            if not inner.eof:
                raise _Damaged("a compressed variable is cut off or too large")
            kind, body = next(_elements(unpacked, order), (0, b""))
        if kind != _MATRIX:
            continue
        parts = _elements(body, order)
        name, array = _matrix(parts, order, names)
        if name in names:
            yield name, array


def _matrix(
    parts: Iterator[tuple[int, bytes]], order: str, names: set[str]
) -> tuple[str, NDArray[Any] | str]:
    (flags_kind, flags), (sizes_kind, sizes), (_, name_bytes) = (next(parts, (0, b"")) for _ in range(3))
    if flags_kind != _UINT32 or len(flags) < 8 or sizes_kind != _INT32 or len(sizes) % 4:
        raise _Damaged("a variable has no head")
    (flag,) = struct.unpack_from(order + "I", flags)
    name = name_bytes.decode("latin-1")
    if name not in names:
        return name, ""
    kind = flag & 0xFF
    if not _FIRST_NUMERIC <= kind <= _LAST_NUMERIC:
        return name, _CLASSES.get(kind, "something else")
    if flag & (_COMPLEX | _LOGICAL):
        return name, "complex numbers" if flag & _COMPLEX else "truth values"
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    number, values = next(parts, (0, b""))
    # The numbers may be stored in a smaller type than the array's.
    if number not in _NUMBERS:
        raise _Damaged("a variable has no numbers")
    dtype = np.dtype(order + _NUMBERS[number])
    if min(shape, default=-1) < 0 or math.prod(shape) * dtype.itemsize != len(values):
        raise _Damaged("a variable has another size than it claims")
    return name, np.frombuffer(values, dtype).reshape(shape, order="F")


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and content of one element after the other."""
    place = 0
    while place < len(content):
        kind, size = struct.unpack_from(order + "II", content, place)
        if kind >> 16:  # up to four bytes lie in the head itself
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
            following = place + 8
            if size > 4:
                raise _Damaged("an element has another size than it claims")
        else:
            start = place + 8
            # Elements begin at multiples of 8 bytes, compressed ones follow at once.
            following = start + size + (0 if kind == _COMPRESSED else -size % 8)
        if start + size > len(content):
            raise _Damaged("it is damaged or cut off")
        yield kind, content[start : start + size]
        place = following
