"""Yaw angles that come as a file of their own: a `.npy` row for each face, or a `.csv` with names."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arguments import path_of
from ..errors import InputError
from ..io.arrays import read_array
from ..io.files import regular_file
from ..io.text import reals

_LIMIT = 360.0


def read_yaw(path: str | os.PathLike[str], names: Sequence[str]) -> NDArray[np.float64]:
    """Yaw in degrees (n,) of the faces `names`, n stems in name order.

    `.npy`: (n,) numbers, row i of face i. `.csv`: lines `name,yaw`; names with or without a suffix, in any
    order, more of them than needed; a header that names columns `name` (or `image`, `file`) and `yaw` (or
    `yaw_degrees`) may choose among several. Raises InputError naming the file when it is neither, has too few
    or too many rows, lacks a face, or holds what cannot be degrees.
    """
    file = path_of(path, "a .npy or .csv file")
    suffix = file.suffix.lower()
    if suffix == ".npy":
        array = read_array(file)
        if array.size != len(names) or array.ndim not in (1, 2):
            raise InputError(
                f"{file}: expected a yaw for each of {len(names)} ground truths, got shape {array.shape}"
            )
        yaw = np.array(array, np.float64).ravel()
    elif suffix == ".csv":
        table = _read_csv(file)
        missing = next((name for name in names if name not in table), None)
        if missing is not None:
            raise InputError(
                f"{file}: expected a line for each of {len(names)} faces, got none for {missing!r}"
            )
        yaw = np.array([table[name] for name in names])
    else:
        raise InputError(f"{file}: expected yaw angles, a .npy or .csv file, got {suffix or 'no suffix'!r}")
    if not np.isfinite(yaw).all() or (np.abs(yaw) > _LIMIT).any():
        raise InputError(f"{file}: expected degrees, got {yaw[~(np.abs(yaw) <= _LIMIT)][0]}")
    return yaw


def _read_csv(file: Path) -> dict[str, float]:
    try:
        with open(regular_file(file), newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error
    except csv.Error as error:
        raise InputError(f"{file}: expected lines 'name,yaw', got a file that is not text") from error
    name, yaw, width = 0, 1, 2
    heads = [cell.strip().lower() for cell in rows[0]] if rows else []
    if "yaw" in heads or "yaw_degrees" in heads:
        yaw = heads.index("yaw") if "yaw" in heads else heads.index("yaw_degrees")
        name = next((heads.index(word) for word in ("name", "image", "file") if word in heads), 0)
        rows, width = rows[1:], len(heads)
    table: dict[str, float] = {}
    for row in rows:
        try:
            (degrees,) = reals([row[yaw].encode("utf-8", "surrogateescape")])
            if len(row) != width:
                raise ValueError("a comma in a number, or a column without a head")
            face = _stem(row[name])
        except (IndexError, ValueError) as error:
            raise InputError(f"{file}: expected lines 'name,yaw', got {','.join(row)[:60]!r}") from error
        if table.setdefault(face, degrees) != degrees:
            raise InputError(f"{file}: expected one yaw a face, got {table[face]} and {degrees} for {face!r}")
    return table


def _stem(name: str) -> str:
    """The name without folder and without a suffix of letters: `a.b/face.jpg` and `face` are one."""
    last = name.strip().replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = last.rpartition(".")
    return stem if dot and suffix[:1].isalpha() and len(suffix) <= 4 else last
