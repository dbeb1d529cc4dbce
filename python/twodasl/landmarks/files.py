"""Landmark files: .pts, .npy, .csv, and .txt with 68 points, AFLW's 21, or the paper's 18."""

from __future__ import annotations

import csv
import math
import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arguments import flag, path_of
from ..errors import InputError
from ..io.arrays import read_array
from ..io.files import regular_file

SUFFIXES = (".pts", ".npy", ".csv", ".txt")
"""File suffixes that `read_landmarks` accepts."""

# 68 points take a few kilobytes; a much larger file is of another kind.
_LARGEST = 1 << 20

Rows = list[tuple[int, list[str]]]
Counts = tuple[int, ...]


def read_landmarks(
    path: str | os.PathLike[str], counts: Counts = (68,), *, gaps: bool = False
) -> NDArray[np.float64]:
    """Read landmarks: (L, 2) float64, image pixels (x, row), 0-based (the first pixel's center is 0, 0).

    counts: accepted numbers of points L. gaps: whether some (not all) points may be NaN, meaning not
    annotated.

    .pts: iBUG's format, 1-based by convention and converted here. .npy: (L, 2) or (2, L), numbers, no
    objects. .csv/.txt: one point per line, separated by commas, semicolons, or white space; with an optional
    header, which names the columns `x` and `y` (or `col`, `column`, `u`; `row`, `v`) among others; lines
    starting with # are comments; 0-based. A third coordinate ((L, 3), (3, L), or three columns) is accepted
    and ignored.

    Raises InputError naming the file if it is missing, of another kind, broken, has another number of points,
    or a coordinate that is not a finite number.
    """
    file, gaps = path_of(path, "a landmark file"), flag(gaps, "gaps")
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{file}: expected a landmark file named {', '.join(SUFFIXES)}, got {suffix or 'no suffix'}"
        )
    regular_file(file, "a landmark file")
    points = _read_npy(file, counts) if suffix == ".npy" else _read_text(file, suffix, counts)
    missing = np.isnan(points).any(axis=1) & (gaps and not np.isnan(points).any(axis=1).all())
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1) & ~missing)
    if bad.size:
        raise InputError(
            f"{file}: expected finite coordinates, got {bad.size} points with NaN or infinity,"
            f" the first of them point {bad[0]} (counted from 0)"
        )
    points[missing] = np.nan
    return points


def _expected(counts: Counts) -> str:
    return f"expected {_listed(counts)} points of two (or three) numbers each"


def _listed(counts: Counts) -> str:
    return " or ".join(str(count) for count in counts)


def _open_error(file: Path, error: OSError) -> InputError:
    return InputError(f"{file}: cannot be read ({error.strerror or error}); expected a landmark file")


def _two_columns(file: Path, array: NDArray[np.float64], counts: Counts) -> NDArray[np.float64]:
    """(L, 2|3) or (2|3, L) to (L, 2)."""
    if array.ndim == 2 and array.shape[0] in (2, 3) and array.shape[1] in counts:
        array = array.T
    if array.ndim != 2 or array.shape[0] not in counts or array.shape[1] not in (2, 3):
        raise InputError(f"{file}: {_expected(counts)}, got an array of shape {array.shape}")
    return np.array(array[:, :2], dtype=np.float64)


def _read_npy(file: Path, counts: Counts) -> NDArray[np.float64]:
    array = read_array(file)
    if array.ndim != 2 or not set(counts) & set(array.shape):
        raise InputError(f"{file}: {_expected(counts)}, got an array of shape {array.shape}")
    with np.errstate(over="ignore"):  # a long double beyond float64 becomes infinite, and is reported as such
        return _two_columns(file, np.array(array, dtype=np.float64), counts)


def _read_text(file: Path, suffix: str, counts: Counts) -> NDArray[np.float64]:
    try:
        with open(file, "rb") as stream:
            content = stream.read(_LARGEST + 1)
    except OSError as error:
        raise _open_error(file, error) from error
    if len(content) > _LARGEST:
        raise InputError(f"{file}: {_expected(counts)}, got more than {_LARGEST >> 20} MiB of data")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: expected a text file, got bytes that are not UTF-8") from error
    rows: Rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if line and not line.startswith(("#", "//")):
            rows.append((number, line.split() if suffix == ".pts" else _fields(line)))
    if not rows:
        raise InputError(f"{file}: {_expected(counts)}, got an empty file")
    if suffix == ".pts":
        # iBUG's annotations count pixels from 1, as the MATLAB code that wrote them does.
        return _table(file, _pts_rows(file, rows, counts), counts) - 1.0
    return _csv_points(file, rows, counts)


def _fields(line: str) -> list[str]:
    """Split at semicolons, else at commas (an empty field stays, and is an error), else at white space."""
    if ";" not in line and "," not in line:
        return line.split()
    try:  # one separator per line: with semicolons, or inside quotation marks, commas are decimal commas
        fields = next(csv.reader([line], delimiter=";" if ";" in line else ",", skipinitialspace=True))
    except csv.Error:
        return [line]
    return [field.strip().strip("\"'") for field in fields]


def _pts_rows(file: Path, rows: Rows, counts: Counts) -> Rows:
    """The rows between the braces, after checking `version:` and `n_points:`."""
    tokens = [" ".join(fields) for _, fields in rows]
    if "{" not in tokens or tokens[-1] != "}":
        raise InputError(
            f"{file}: expected a .pts file with points between {{ and }}, got one without (cut off?)"
        )
    start = tokens.index("{")
    header = " ".join(tokens[:start])
    match = re.search(r"n_points\s*:\s*(\S+)", header)
    if match is None:
        wanted = _listed(counts)
        raise InputError(f"{file}: expected a line `n_points: {wanted}` before {{, got {header[:60]!r}")
    body = rows[start + 1 : -1]
    if match[1] not in map(str, counts):
        raise InputError(f"{file}: expected n_points: {_listed(counts)}, got n_points: {match[1]}")
    if len(body) != int(match[1]):
        raise InputError(f"{file}: expected {match[1]} points, as its n_points says, got {len(body)}")
    return body


def _csv_points(file: Path, rows: Rows, counts: Counts) -> NDArray[np.float64]:
    names: list[str] = []
    number, first = rows[0]
    if not any(_number(field) is not None for field in first):
        names = [field.lower().lstrip("#") for field in first]
        rows = rows[1:]
    across = next((name for name in ("x", "col", "column", "u") if name in names), None)
    down = next((name for name in ("y", "row", "v") if name in names), None)
    if across is not None and down is not None:
        columns = (names.index(across), names.index(down))
        short = next((row for row in rows if len(row[1]) != len(names)), None)
        if short is not None:
            raise InputError(
                f"{file}, line {short[0]}: expected {len(names)} fields as in its header, got {len(short[1])}"
            )
        return _table(file, [(number, [fields[c] for c in columns]) for number, fields in rows], counts)
    if len(names) > 1:  # y, x or row, col of some other name would be taken for x, y
        raise InputError(
            f"{file}, line {number}: expected a header with columns x and y, got {', '.join(names)[:60]};"
            " rename the columns or remove the line"
        )
    points = _table(file, rows, counts, keep=True)
    indices = np.arange(float(len(points)))
    numbered = any(np.array_equal(points[:, 0], indices + base) for base in (0, 1))
    if numbered and len(points) in counts and points.shape[1] == 3:
        raise InputError(
            f"{file}: expected columns x and y first, got an index column; add a header line `index,x,y`"
        )
    return _two_columns(file, points, counts)


def _table(file: Path, rows: Rows, counts: Counts, keep: bool = False) -> NDArray[np.float64]:
    """Rows of fields to numbers; (L, 2) unless `keep` preserves the shape."""
    table: list[list[float]] = []
    for number, fields in rows:
        values = [_number(field) for field in fields]
        wrong = next((field for field, value in zip(fields, values, strict=True) if value is None), None)
        if wrong is not None:
            raise InputError(f"{file}, line {number}: expected numbers, got {wrong[:40]!r}")
        if table and len(values) != len(table[0]):
            raise InputError(
                f"{file}, line {number}: expected {len(table[0])} numbers as in the lines before,"
                f" got {len(values)}"
            )
        table.append([math.nan if value is None else value for value in values])
    if len(table) not in (2, 3, *counts):
        raise InputError(f"{file}: expected {_listed(counts)} points, got {len(table)}")
    array = np.array(table, dtype=np.float64)
    return array if keep else _two_columns(file, array, counts)


def _number(field: str) -> float | None:
    try:
        return float(field) if field.isascii() and "_" not in field else None
    except ValueError:
        return None
