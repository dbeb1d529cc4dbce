"""Reading `.npy` files that strangers made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError


def read_array(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array in a `.npy` file: real numbers of any shape, dtype as stored; memory-mapped, read-only.

    Pickled objects are never loaded, and a header that claims more than the file holds is an error and not
    an allocation. Raises InputError naming the file when it is missing, broken, an archive, or holds anything
    but real numbers.
    """
    file = Path(path)
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror or error}); expected a .npy file"
        ) from error
    except Exception as error:  # numpy's header parser raises many kinds on broken files
        reason = str(error).partition("\n")[0].partition(". ")[0]  # NumPy goes on to advise unsafe loading
        raise InputError(
            f"{file}: expected a .npy file of numbers (no objects), got one numpy refuses ({reason})"
        ) from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{file}: expected one .npy array, got an archive of arrays (.npz)")
    if array.dtype.kind not in "fiu":
        raise InputError(f"{file}: expected an array of real numbers, got dtype {array.dtype}")
    return array


def read_point_array(
    path: str | os.PathLike[str], count: int = 68, *, depth: bool = False
) -> NDArray[np.float64]:
    """Points of many images: (n, count, 2) float64 from a `.npy` of (n, count, 2|3) or (n, 2|3, count).

    A third coordinate is left out, or with `depth` kept where there is one. Raises InputError naming the
    file, also for NaN and for n = 0.
    """
    array = read_array(path)
    if array.ndim == 3 and array.shape[1] in (2, 3) and array.shape[2] == count:
        array = array.transpose(0, 2, 1)
    if array.ndim != 3 or array.shape[1] != count or array.shape[2] not in (2, 3) or not len(array):
        raise InputError(
            f"{path}: expected {count} points an image, (n, {count}, 2) or (n, 2, {count}),"
            f" got shape {array.shape}"
        )
    points = np.array(array if depth else array[..., :2], dtype=np.float64)
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))[0])
        raise InputError(f"{path}: expected finite coordinates, got NaN or infinity in row {row}")
    return points
