"""UMDFaces: 367,888 photos with a face box, pose, and AFLW's 21 points found by a network.

A batch is a CSV (`umdfaces_batch1_ultraface.csv`, ...) with a header, of which the columns FILE (relative to
the CSV's folder), P1X, P1Y, VIS1, ..., P21X, P21Y, VIS21 and, where it is there, YAW (degrees) are read.
Coordinates are pixels of the whole photo; VIS is a probability, and above 0.5 a point counts as visible.
Hidden points have coordinates as well, the network's guess. FACE_X, FACE_Y, FACE_WIDTH, FACE_HEIGHT are not
used: a detector's box is another one than the crop about landmarks.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, reading
from ...io.files import regular_file
from ...io.text import plain_text, reals
from ..names import is_name
from .listing import Annotation, Scan

POINTS = 21
VISIBLE = 0.5

_LINE = 1 << 16  # maximum length of a line in bytes; a row has about 600
_CUT_OFF = "its line in the table is cut off"

_COLUMNS = tuple(name for i in range(1, POINTS + 1) for name in (f"P{i}X", f"P{i}Y", f"VIS{i}"))


def scan(root: Path) -> Scan:
    """The photos of all CSV files in a folder or one level below."""
    files = sorted([*root.glob("*.csv"), *root.glob("*/*.csv")])
    if not files:
        raise InputError(f"{root}: expected UMDFaces' .csv files in it or one level below, found none")
    names: list[str] = []
    rows: list[NDArray[np.float32] | str] = []
    for file in files:
        _read(root, file, names, rows)

    def annotate(index: int) -> Annotation:
        row = rows[index]
        if isinstance(row, str):
            raise InputError(row)
        table = row[:-1].astype(np.float64).reshape(POINTS, 3)
        return Annotation(table[:, :2], table[:, 2] > VISIBLE, yaw=float(np.radians(row[-1])))

    folders = sorted({(root / name).parent for name in names if is_name(name)})
    return Scan(tuple(names), annotate, (root, *files, *folders))


def _read(root: Path, file: Path, names: list[str], rows: list[NDArray[np.float32] | str]) -> None:
    folder = file.parent.relative_to(root).as_posix()
    prefix = "" if folder == "." else f"{folder}/"
    with reading(file, "UMDFaces' table"), open(regular_file(file), "rb") as stream:
        header = [column.strip().upper() for column in _fields(plain_text(file, stream.readline(_LINE)))]
        missing = [column for column in ("FILE", *_COLUMNS) if column not in header]
        if missing:
            raise InputError(f"{file}: expected UMDFaces' header, found no column {missing[0]}")
        name_at = header.index("FILE")
        places = [header.index(column) for column in (*_COLUMNS, "YAW") if column in header]
        # Each line by itself, so that an unclosed quotation mark affects no other.
        for number, line in enumerate(_lines(stream), start=2):
            if fields := _fields(line):
                short = len(fields) != len(header)
                name = f"line {number}" if short else fields[name_at].strip()
                names.append(name if name.startswith("/") else prefix + name)
                rows.append(_CUT_OFF if short else _numbers(fields, places))


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """The lines, each of at most `_LINE` bytes."""
    while line := stream.readline(_LINE):
        yield line
        while line and not line.endswith(b"\n"):
            line = stream.readline(_LINE)


def _fields(line: bytes) -> list[str]:
    try:
        return next(csv.reader([line.decode("utf-8", "surrogateescape").rstrip("\r\n")]), [])
    except csv.Error:
        return [""]


def _numbers(fields: list[str], places: list[int]) -> NDArray[np.float32] | str:
    """21 times x, y, visibility, then yaw in degrees or NaN; or what is wrong with them."""
    found = np.full(len(_COLUMNS) + 1, np.nan, np.float32)
    try:
        values = reals([fields[place].encode("utf-8", "surrogateescape") for place in places])
    except ValueError:
        return "its line in the table has words in place of numbers"
    with np.errstate(over="ignore"):  # infinite values count as not annotated
        found[: len(places)] = values
    return found
