"""Wavefront OBJ: its `v` and `f` lines."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..io.text import plain_text, reals, whole
from .mesh import Mesh, checked_mesh, fan

_COMMENT = re.compile(rb"#[^\n]*")
# A line of numbers that ends in a backslash, and the lines that continue it.
_CONTINUED = re.compile(rb"(?m)^[ \t]*[vf][ \t][^\n\\]*(?:\\[ \t]*\n[^\n\\]*)+")
_BREAK = re.compile(rb"\\[ \t]*\n")


def obj_lines(path: Path, content: bytes) -> list[bytes]:
    """Lines of an OBJ file without comments, continued lines joined; element i is the file's line i + 1.

    A comment ends with its line, even after a backslash. Only `v` and `f` lines are continued: in other
    lines, which are not read, a backslash ends a folder name. UTF-8 byte-order marks are removed, also in the
    middle of concatenated files. Raises InputError naming the file for other encodings.
    """
    text = plain_text(path, content).replace(codecs.BOM_UTF8, b"")
    text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"#" in text:
        text = _COMMENT.sub(b"", text)
    if b"\\" in text:
        text = _CONTINUED.sub(_joined, text)
    return text.split(b"\n")


def _joined(match: re.Match[bytes]) -> bytes:
    line, breaks = _BREAK.subn(b" ", match[0])
    return line + breaks * b"\n"  # later lines keep their numbers


def read_obj(path: Path) -> Mesh:
    """Vertices and triangles of an OBJ file.

    `v x y z`, ignoring further numbers; `f` with corners `7`, `7/1`, `7//1`, or `7/1/2`, 1-based or, if
    negative, counting back from the last vertex so far; polygons become triangle fans. Other lines are
    ignored. A file cut off between two lines looks like a complete one. Raises InputError with the line
    number.
    """
    rows: list[bytes] = []
    triangles: list[tuple[int, int, int]] = []
    lines = obj_lines(path, path.read_bytes())
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if words[0] == b"v":
            if len(words) < 4:
                raise InputError(f"{path}: line {number}: expected 'v x y z', got {_shown(line)}")
            rows += words[1:4]
        elif words[0] == b"f":
            triangles += fan(_corners(path, number, line, words[1:], len(rows) // 3))
        elif not words[0].isascii() or b"\0" in words[0]:
            # Such as a non-ASCII space next to a `v`: without that vertex, all indices would shift.
            raise InputError(f"{path}: line {number}: expected an OBJ line, got {_shown(line)}")
    if not rows:
        raise InputError(f"{path}: expected an OBJ mesh, got a file without 'v x y z' lines")
    try:
        vertices = reals(rows).reshape(-1, 3)
    except ValueError as error:
        raise _no_number(path, lines) from error
    return checked_mesh(path, vertices, np.array(triangles, np.int64) if triangles else None)


def _corners(path: Path, number: int, line: bytes, words: list[bytes], vertex_count: int) -> list[int]:
    """0-based vertices of an `f` line."""
    try:
        corners = [whole(word.partition(b"/")[0]) for word in words]
    except ValueError:
        corners = []
    if len(corners) < 3 or 0 in corners:
        raise InputError(f"{path}: line {number}: expected 'f' and three vertices, got {_shown(line)}")
    return [corner - 1 if corner > 0 else vertex_count + corner for corner in corners]


def _no_number(path: Path, lines: list[bytes]) -> InputError:
    """The error for the first `v` line that contains a word."""
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words[:1] == [b"v"] and not _are_numbers(words[1:4]):
            return InputError(f"{path}: line {number}: expected numbers after 'v', got {_shown(line)}")
    raise AssertionError("every line 'v' holds numbers")


def _are_numbers(words: list[bytes]) -> bool:
    try:
        reals(words)
    except ValueError:
        return False
    return True


def _shown(line: bytes) -> str:
    return repr(line[:40].decode("latin1"))
