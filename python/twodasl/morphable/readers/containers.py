"""Arrays out of the containers in which face models travel: `.npy`, `.npz` and text.

Every size that a file claims is compared with what the file holds, or with `LARGEST`, before memory is set
aside for it, and whatever is wrong becomes an InputError that names the file. Nothing is unpickled but by the
reader of `data.pickles`.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...data.pickles import parse_pickle
from ...errors import InputError

Array = NDArray[Any]

LARGEST = 1 << 31
"""Bytes that the arrays of one file may take; BFM 2009 in float64 takes a quarter."""


def read_npy(path: Path) -> Any:
    """The array of a `.npy` file, or what its pickled object holds (see `data.pickles.read_model_pickle`)."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            return _parse_npy(path, stream, size)
    except OSError as error:
        raise unreadable(path, error) from error


def npz_names(path: Path) -> set[str]:
    """Names of the arrays in a `.npz`; nothing is loaded."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # a damaged archive stops zipfile in many ways
        raise InputError(f"{path}: is no .npz file (or is cut short); copy it again") from error


def read_npz(path: Path, names: Iterable[str]) -> dict[str, Any]:
    """Those of the named arrays that a `.npz` has; the others are not touched."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = {name: members[name] for name in names if name in members}
            if sum(info.file_size for info in wanted.values()) > LARGEST:
                raise InputError(f"{path}: expected arrays of at most {LARGEST >> 30} GiB together")
            return {
                name: _parse_npy(path, io.BytesIO(archive.read(info)), info.file_size)
                for name, info in wanted.items()
            }
    except OSError as error:
        raise unreadable(path, error) from error
    except InputError:
        raise
    except Exception as error:  # as above
        raise InputError(f"{path}: is a damaged .npz file; copy it again") from error


def read_numbers(path: Path) -> NDArray[np.float64]:
    """The numbers of a text file, separated by white space, commas or semicolons; `#` starts a comment."""
    try:
        with open(path, "rb") as stream:
            text = stream.read(1 << 20)
    except OSError as error:
        raise unreadable(path, error) from error
    lines = [line.partition(b"#")[0] for line in text.splitlines()]
    try:
        return np.array(b" ".join(lines).replace(b",", b" ").replace(b";", b" ").split(), np.float64)
    except ValueError as error:
        raise InputError(f"{path}: expected numbers alone, got other text among them") from error


def _parse_npy(path: Path, stream: BinaryIO, size: int) -> Any:
    header = np.lib.format
    try:
        version = header.read_magic(stream)
        read = header.read_array_header_1_0 if version == (1, 0) else header.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except Exception as error:  # whatever a wrong header makes of numpy's parser
        raise InputError(f"{path}: is no .npy file; copy it again") from error
    left = size - stream.tell()
    if dtype.hasobject:
        if size > LARGEST:
            raise InputError(f"{path}: expected at most {LARGEST >> 30} GiB, got a larger file")
        found = parse_pickle(path, stream.read())
        return found[0] if shape == () and isinstance(found, list) and len(found) == 1 else found
    if dtype.kind not in "fiub" or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != left:
        raise InputError(f"{path}: expected {left} bytes of numbers, got {dtype} of shape {shape}")
    if left > LARGEST:
        raise InputError(f"{path}: expected at most {LARGEST >> 30} GiB, got a larger array")
    return np.frombuffer(stream.read(), dtype).reshape(shape, order="F" if fortran else "C")


def unreadable(path: Path, error: OSError) -> InputError:
    """What to say of a file that the system does not let read."""
    return InputError(f"{path}: cannot be read ({error.strerror or error})")
