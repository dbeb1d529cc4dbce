"""Arrays out of the containers in which face models travel: `.mat`, `.npy`, `.npz` and text.

Every size that a file claims is compared with what the file holds, or with `LARGEST`, before memory is set
aside for it, and whatever is wrong becomes an InputError that names the file. Nothing is unpickled but by the
reader of `data.pickles`.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
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


def mat_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a MATLAB file's variables; nothing is loaded."""
    from scipy.io import whosmat

    try:
        return {name: tuple(shape) for name, shape, _ in whosmat(str(path), appendmat=False)}
    except OSError as error:
        raise _unreadable(path, error) from error
    except NotImplementedError as error:
        raise InputError(f"{path}: is of MATLAB's version 7.3; save it with '-v7'") from error
    except Exception as error:  # a damaged file stops scipy's reader in many ways
        raise InputError(f"{path}: expected a MATLAB file (v5 to v7), got one scipy refuses") from error


def read_mat(path: Path, names: Iterable[str]) -> dict[str, Any]:
    """Those of the named variables that a MATLAB file has: real arrays, or structs as `mat_fields` takes."""
    from scipy.io import loadmat

    shapes = mat_shapes(path)
    wanted = [name for name in names if name in shapes]
    for name in wanted:
        if 8 * math.prod(shapes[name]) > LARGEST:
            raise InputError(f"{path}: {name}: expected at most {LARGEST >> 30} GiB, got {shapes[name]}")
    _check_inflated(path)
    try:
        return {
            name: value
            for name, value in loadmat(str(path), appendmat=False, variable_names=wanted).items()
            if name in wanted
        }
    except Exception as error:  # as above
        raise InputError(
            f"{path}: {', '.join(wanted)} cannot be read; the file is damaged or cut off"
        ) from error


def mat_fields(path: Path, label: str, value: Any) -> dict[str, Array]:
    """The fields of a (1, 1) struct as `read_mat` gives it."""
    names = getattr(getattr(value, "dtype", None), "names", None)
    if not names or value.size != 1:
        raise InputError(f"{path}: {label}: expected one struct, got another kind of variable")
    return dict(zip(names, value.ravel()[0], strict=True))


def read_npy(path: Path) -> Any:
    """The array of a `.npy` file, or what its pickled object holds (see `data.pickles.read_model_pickle`)."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            return _parse_npy(path, stream, size)
    except OSError as error:
        raise _unreadable(path, error) from error


def npz_names(path: Path) -> set[str]:
    """Names of the arrays in a `.npz`; nothing is loaded."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except OSError as error:
        raise _unreadable(path, error) from error
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
        raise _unreadable(path, error) from error
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
        raise _unreadable(path, error) from error
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


def _check_inflated(path: Path) -> None:
    """Refuse a MATLAB file whose compressed variables grow beyond `LARGEST`."""
    inflated = 0
    with open(path, "rb") as stream:
        order = {b"IM": "little", b"MI": "big"}.get(stream.read(128)[126:128])
        while order and len(tag := stream.read(8)) == 8:
            kind, size = (int.from_bytes(tag[at : at + 4], order) for at in (0, 4))  # type: ignore[arg-type]
            if kind != 15:  # compressed; others hold their bytes as they are
                stream.seek(size, 1)
                continue
            inflate, end = zlib.decompressobj(), stream.tell() + size
            while stream.tell() < end and (part := stream.read(min(1 << 16, end - stream.tell()))):
                try:
                    inflated += len(inflate.decompress(part))  # 64 MiB at most, as zlib compresses
                except zlib.error as error:
                    raise InputError(f"{path}: is a damaged MATLAB file; copy it again") from error
                if inflated > LARGEST:
                    raise InputError(f"{path}: expected variables of at most {LARGEST >> 30} GiB together")
            stream.seek(end)


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be read ({error.strerror or error})")
