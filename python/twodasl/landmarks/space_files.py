"""Landmarks in space, as somebody placed them on a scan: .csv, .txt, .npy, .pts, and MeshLab's .pp."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arguments import path_of
from ..errors import InputError, did_you_mean
from ..io.arrays import read_array
from ..io.files import regular_file
from .schemes import NAMES_68

SPACE_SUFFIXES = (".csv", ".txt", ".npy", ".pts", ".pp")
"""File suffixes that `read_space_landmarks` accepts."""

NAMED = ("ear_left", "ear_right", "chin")
"""Names beside those of the 68 points, which face models may know."""

_LARGEST = 1 << 20  # bytes
_EXPECTED = "expected 68 lines of three numbers (nan where not placed), or lines `name, x, y, z`"

Placed = dict[str, NDArray[np.float64]]


def read_space_landmarks(path: str | os.PathLike[str]) -> Placed:
    """Read landmarks in space: name -> (3,) float64, in the file's unit, those that are placed.

    .csv, .txt: 68 lines of three numbers in iBUG order, NaN where a point is not placed; or one line
    `name, x, y, z` for each point that is, where the name is one of `NAMES_68` (as in nose_base_2), its
    number from 0 to 67, or one of `NAMED`. Commas, semicolons or white space separate; a header line and
    lines starting with # are skipped. .npy: (68, 3). .pts: 68 lines between braces. .pp: MeshLab's picked
    points, named as above.

    Raises InputError naming the file and the line.
    """
    file = path_of(path, "a landmark file")
    suffix = file.suffix.lower()
    if suffix not in SPACE_SUFFIXES:
        known = ", ".join(SPACE_SUFFIXES)
        raise InputError(f"{file}: expected a landmark file named {known}, got {suffix or 'no suffix'}")
    regular_file(file, "a landmark file")
    if suffix == ".npy":
        return _of_array(file, read_array(file))
    lines = _lines(file)
    if suffix == ".pp":
        return _picked(file, "\n".join(line for _, line in lines))
    if suffix == ".pts":
        words = [line for _, line in lines]
        if "{" not in words or words[-1] != "}":
            raise InputError(f"{file}: expected a .pts file with points between {{ and }}, got one without")
        lines = lines[words.index("{") + 1 : -1]
    rows = [
        (number, [word.strip("\"'") for word in re.split(r"\s*[;,]\s*|\s+", line)]) for number, line in lines
    ]
    if rows and suffix != ".pts" and not any(_number(word) is not None for word in rows[0][1]):
        rows = rows[1:]  # a header
    if rows and all(len(words) == 3 for _, words in rows):
        return _of_array(file, np.array([_coordinates(file, number, words) for number, words in rows]))
    return _of_rows(file, rows)


def _lines(file: Path) -> list[tuple[int, str]]:
    with open(file, "rb") as stream:
        content = stream.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise InputError(f"{file}: {_EXPECTED}, got more than {_LARGEST >> 20} MiB of data")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: expected a text file, got bytes that are not UTF-8") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith(("#", "//"))]
    if not lines:
        raise InputError(f"{file}: {_EXPECTED}, got an empty file")
    return lines


def _of_array(file: Path, array: NDArray) -> Placed:
    if array.shape != (68, 3) or array.dtype.kind not in "fiu":
        raise InputError(f"{file}: {_EXPECTED}, got {array.dtype} of shape {array.shape}")
    points = np.asarray(array, np.float64)
    if np.isinf(points).any():
        raise InputError(
            f"{file}: {_EXPECTED}, got infinity in point {int(np.isinf(points).any(1).argmax())}"
        )
    placed = ~np.isnan(points).any(axis=1)
    if not placed.any():
        raise InputError(f"{file}: {_EXPECTED}, got no point that is placed")
    return {NAMES_68[row]: points[row] for row in np.flatnonzero(placed)}


def _of_rows(file: Path, rows: list[tuple[int, list[str]]]) -> Placed:
    found: Placed = {}
    for number, words in rows:
        if len(words) != 4:
            raise InputError(f"{file}, line {number}: {_EXPECTED}, got {' '.join(words)[:40]!r}")
        _add(file, f", line {number}", found, words[0], _coordinates(file, number, words[1:]))
    if not found:
        raise InputError(f"{file}: {_EXPECTED}, got no points")
    return found


def _picked(file: Path, text: str) -> Placed:
    """MeshLab's file, an XML of flat elements, of which the attributes are all that is needed."""
    found: Placed = {}
    for element in re.findall(r"<point\b[^>]*>", text):
        attributes = dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', element))
        if attributes.get("active") == "0":
            continue
        values = [_number(attributes.get(axis, "")) for axis in "xyz"]
        if any(value is None or not math.isfinite(value) for value in values):
            raise InputError(f"{file}: expected x, y and z of each point, got {element[:80]!r}")
        _add(file, "", found, attributes.get("name", ""), np.array(values, np.float64))
    if not found:
        raise InputError(f"{file}: expected MeshLab's picked points, got none")
    return found


def _add(file: Path, where: str, found: Placed, word: str, point: NDArray[np.float64]) -> None:
    name = NAMES_68[int(word)] if word.isascii() and word.isdigit() and int(word) < 68 else word
    if name not in (*NAMES_68, *NAMED):
        hint = did_you_mean(name, (*NAMES_68, *NAMED))
        expected = "expected one of the 68, as in nose_base_2, its number from 0 to 67, or chin"
        raise InputError(f"{file}{where}: unknown landmark {word[:40]!r}{hint}; {expected}")
    if name in found:
        raise InputError(f"{file}{where}: {name} is placed twice; delete one of the two")
    if not np.isnan(point).any():
        found[name] = point


def _coordinates(file: Path, number: int, words: list[str]) -> NDArray[np.float64]:
    values = [_number(word) for word in words]
    if any(value is None for value in values):
        raise InputError(f"{file}, line {number}: {_EXPECTED}, got {' '.join(words)[:40]!r}")
    return np.array(values, np.float64)


def _number(word: str) -> float | None:
    try:
        return float(word) if word.isascii() and "_" not in word else None
    except ValueError:
        return None
