"""Reading untrusted `.npy` and `.npz` files.

Every size that a file declares is checked against its content, or against `LARGEST`, before memory is
allocated for it. Nothing is unpickled.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import flag
from ..errors import InputError
from .archives import members, opened_archive, read_member
from .files import regular_file

LARGEST = 1 << 31
"""Limit in bytes for the arrays of one file; BFM 2009 in float64 takes a quarter of it."""

# How many times larger than a compressed file its arrays may be, from _SMALL bytes on. A face model
# compresses to a tenth, mostly zeros to a thirtieth; a file made to exhaust memory, to a thousandth.
_DENSEST, _SMALL = 100, 1 << 26
# Maximum header length; numpy does not read headers longer than 10,000 bytes.
_HEADER = 1 << 14

Objects = Callable[[str | os.PathLike[str], bytes], Any]
"""Reads the pickle of an object array; the argument is the file's path, for messages."""


def read_array(path: str | os.PathLike[str], kinds: str = "fiu") -> NDArray[Any]:
    """The array in a `.npy` file: real numbers of any shape, dtype as stored; memory-mapped, read-only.

    kinds: accepted dtypes, as in numpy's `dtype.kind`; with `b` truth values count as numbers. Pickled
    objects are never loaded, and a header that declares more than the file holds is an error rather than an
    allocation. Raises InputError naming the file if it is missing, broken, an archive, or holds
    anything but real numbers.
    """
    file = regular_file(path, "a .npy file")
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror or error}); expected a .npy file"
        ) from error
    except Exception as error:  # numpy's header parser raises many kinds of exceptions on broken files
        reason = (
            str(error).partition("\n")[0].partition(". ")[0]
        )  # NumPy's message goes on to recommend unsafe loading
        raise InputError(
            f"{file}: expected a .npy file of numbers (no objects), got one that numpy rejects ({reason})"
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise InputError(f"{file}: expected one .npy array, got an archive of arrays (.npz)")
    if array.dtype.kind not in kinds:
        raise InputError(f"{file}: expected an array of real numbers, got dtype {array.dtype}")
    return array


def read_point_array(
    path: str | os.PathLike[str], count: int = 68, *, depth: bool = False
) -> NDArray[np.float64]:
    """Points of many images: (n, count, 2) float64 from a `.npy` of (n, count, 2|3) or (n, 2|3, count).

    A third coordinate is dropped, or kept with `depth` if present. Raises InputError naming the file, also
    for NaN and for n = 0.
    """
    array, depth = read_array(path), flag(depth, "depth")
    if array.ndim == 3 and array.shape[1] in (2, 3) and array.shape[2] == count:
        array = array.transpose(0, 2, 1)
    if array.ndim != 3 or array.shape[1] != count or array.shape[2] not in (2, 3) or not len(array):
        raise InputError(
            f"{path}: expected {count} points per image, (n, {count}, 2) or (n, 2, {count}),"
            f" got shape {array.shape}"
        )
    points = np.array(array if depth else array[..., :2], dtype=np.float64)
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))[0])
        raise InputError(f"{path}: expected finite coordinates, got NaN or infinity in row {row}")
    return points


def npz_names(path: str | os.PathLike[str]) -> set[str]:
    """Names of the arrays in a `.npz`; nothing is loaded. Raises InputError naming the file."""
    with opened_archive(path, "a .npz file") as archive:
        return {name.removesuffix(".npy") for name in members(archive)}


def read_npz(
    path: str | os.PathLike[str],
    names: Iterable[str],
    *,
    kinds: str = "fiub",
    objects: Objects | None = None,
) -> dict[str, Any]:
    """Read those of the named arrays that a `.npz` contains; the others are not touched.

    kinds: accepted dtypes, as in numpy's `dtype.kind`. objects: reader for object arrays; None rejects them.
    Raises InputError naming the file if it is damaged or its arrays would take more than `LARGEST` bytes.
    """
    with opened_archive(path, "a .npz file") as archive:
        there = members(archive)
        wanted = {name: there[f"{name}.npy"] for name in names if f"{name}.npy" in there}
        most = min(LARGEST, max(_SMALL, _DENSEST * os.path.getsize(path)))
        if sum(info.file_size for info in wanted.values()) > most:
            raise InputError(
                f"{path}: expected arrays of at most {most >> 20} MiB in a file of its size, got more"
            )
        return {
            name: parse_npy(path, read_member(archive, info), kinds, objects) for name, info in wanted.items()
        }


def parse_npy(
    path: str | os.PathLike[str],
    content: bytes | bytearray,
    kinds: str = "fiub",
    objects: Objects | None = None,
) -> Any:
    """The array in the bytes of a `.npy` file, without a copy; see `read_npz`."""
    header = np.lib.format
    try:
        stream = BytesIO(content[:_HEADER])
        version = header.read_magic(stream)
        read = header.read_array_header_1_0 if version == (1, 0) else header.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except Exception as error:  # a damaged header can trip numpy's parser in any way
        raise InputError(f"{path}: is not a .npy file, or is damaged; copy it again") from error
    start = stream.tell()
    if dtype.hasobject and objects is not None:
        found = objects(path, bytes(content[start:]))
        return found[0] if shape == () and isinstance(found, list) and len(found) == 1 else found
    left = len(content) - start
    if dtype.kind not in kinds or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != left:
        got = f"{dtype} of shape {shape}"[:200]
        raise InputError(f"{path}: expected {left} bytes of numbers, got {got}; copy it again")
    try:
        array = np.ndarray(shape, dtype, content, start, order="F" if fortran else "C")
    except ValueError as error:  # an empty array with absurd dimensions
        raise InputError(f"{path}: expected an array, got one of shape {shape}"[:300]) from error
    if dtype.kind == "U":
        letters = np.frombuffer(content, np.dtype("u4").newbyteorder(dtype.byteorder), offset=start)
        if ((letters > 0x10FFFF) | ((letters >= 0xD800) & (letters < 0xE000))).any():
            raise InputError(f"{path}: expected text, got numbers that are not valid characters")
    return array if array.flags.aligned else array.copy()
