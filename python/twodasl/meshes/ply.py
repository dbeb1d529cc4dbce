"""PLY: ASCII, and binary of either byte order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.text import reals, whole
from .mesh import Mesh, checked_mesh, fan, strip
from .ply_header import Element, read_header

_CORNERS = ("vertex_indices", "vertex_index")
# Elements with triangles: rows of polygons, and rows of strips, in which -1 starts a new strip.
_SURFACES = {"face": fan, "tristrips": strip}

Lists = list[list[int]] | NDArray[np.int64]


def read_ply(path: Path) -> Mesh:
    """Vertices `x y z` and triangles of a PLY file.

    Faces are `vertex_indices` lists; polygons become triangle fans, and so do `tristrips`, in which -1 starts
    a new strip. Other elements and properties are skipped. Raises InputError if the header is not a PLY
    header or the file is shorter than it declares.
    """
    header = read_header(path, path.read_bytes())
    wanted = [place for place, found in enumerate(header.elements) if found.name in ("vertex", *_SURFACES)]
    if not any(element.name == "vertex" for element in header.elements):
        raise InputError(f"{path}: expected a PLY mesh with an element 'vertex', got none")
    source: _Text | _Binary = (
        _Text(path, header.content[header.start :])
        if header.order == ""
        else _Binary(path, header.content, header.start, header.order)
    )
    vertices = np.empty((0, 3))
    triangles: list[NDArray[np.int64]] = []
    for element in header.elements[: wanted[-1] + 1]:  # later elements are ignored
        if element.name == "vertex":
            vertices = source.columns(element, ("x", "y", "z"))
        elif element.name in _SURFACES:
            triangles.append(_triangles(source.lists(element, _CORNERS), element.name))
        else:
            source.skip(element)
    return checked_mesh(path, vertices, np.concatenate(triangles) if triangles else None)


def _triangles(lists: Lists, kind: str) -> NDArray[np.int64]:
    if isinstance(lists, np.ndarray) and kind == "face":  # all of the same length
        first, rest = lists[:, :1], lists[:, 1:]
        sides = (np.broadcast_to(first, rest[:, 1:].shape), rest[:, :-1], rest[:, 1:])
        return np.stack(sides, axis=2).reshape(-1, 3)
    rows = lists.tolist() if isinstance(lists, np.ndarray) else lists
    found = [triangle for row in rows for triangle in _SURFACES[kind](row)]
    return np.array(found, np.int64).reshape(-1, 3)


def _find(path: Path, element: Element, names: tuple[str, ...], is_list: bool) -> int:
    for index, item in enumerate(element.properties):
        if item.name in names and bool(item.count_kind) == is_list:
            return index
    raise InputError(f"{path}: expected a property {names[0]!r} of {element.name!r}, got none")


class _Binary:
    """The data part of a binary file, read element by element."""

    def __init__(self, path: Path, content: bytes, start: int, order: str) -> None:
        self.path, self.content, self.position, self.order = path, content, start, order

    def columns(self, element: Element, names: tuple[str, ...]) -> NDArray[np.float64]:
        for name in names:
            _find(self.path, element, (name,), is_list=False)
        if any(item.count_kind for item in element.properties):
            raise InputError(f"{self.path}: vertices with lists are not supported")
        table = self._take(self._record(element), element)
        return np.stack([table[name].astype(np.float64) for name in names], axis=1)

    def lists(self, element: Element, names: tuple[str, ...]) -> Lists:
        wanted = _find(self.path, element, names, is_list=True)
        if element.count == 0:
            return []
        self._check_room(element)
        if sum(bool(item.count_kind) for item in element.properties) == 1:
            item = element.properties[wanted]
            before = self._record(Element("", 1, element.properties[:wanted])).itemsize
            sides = self._length(self.position + before, item.count_kind, item.kind, element)
            record = self._record(element, sides)
            size = record.itemsize * element.count
            if self.position + size <= len(self.content):
                table = np.frombuffer(self.content, record, element.count, self.position)
                if (table[f"{wanted} length"] == sides).all():
                    self.position += size
                    return self._indices(table[item.name], element).reshape(element.count, sides)
        return self._walk(element, wanted)

    def skip(self, element: Element) -> None:
        self._check_room(element)
        if any(item.count_kind for item in element.properties):
            self._walk(element, None)
        elif element.properties:
            self._take(self._record(element), element)

    def _check_room(self, element: Element) -> None:
        """Before reading row by row: even with empty lists, as many rows as declared must fit."""
        if element.properties and self._record(element).itemsize * element.count > self._left():
            raise self._cut_off(element)

    def _left(self) -> int:
        return len(self.content) - self.position

    def _record(self, element: Element, sides: int = 0) -> np.dtype:
        fields: list[tuple] = []
        for index, item in enumerate(element.properties):
            if item.count_kind:
                fields.append((f"{index} length", self.order + item.count_kind))
                fields.append((item.name, self.order + item.kind, (sides,)))
            else:
                fields.append((item.name, self.order + item.kind))
        return np.dtype(fields)

    def _take(self, record: np.dtype, element: Element) -> NDArray:
        size = record.itemsize * element.count
        if size > self._left():
            raise self._cut_off(element)
        table = np.frombuffer(self.content, record, element.count, self.position)
        self.position += size
        return table

    def _walk(self, element: Element, wanted: int | None) -> list[list[int]]:
        """The lists of an element one by one, for different lengths."""
        found: list[list[int]] = []
        for _ in range(element.count if element.properties else 0):
            for index, item in enumerate(element.properties):
                length = 1
                if item.count_kind:
                    length = self._length(self.position, item.count_kind, item.kind, element)
                    self.position += np.dtype(item.count_kind).itemsize
                kind = np.dtype(self.order + item.kind)
                if length * kind.itemsize > self._left():
                    raise self._cut_off(element)
                if index == wanted:
                    items = np.frombuffer(self.content, kind, length, self.position)
                    found.append(self._indices(items, element).tolist())
                self.position += length * kind.itemsize
        return found

    def _length(self, place: int, kind: str, item_kind: str, element: Element) -> int:
        """The length of the list at `place`, checked against the rest of the file."""
        dtype = np.dtype(self.order + kind)
        if place + dtype.itemsize > len(self.content):
            raise self._cut_off(element)
        value = np.frombuffer(self.content, dtype, 1, place)[0].item()
        room = (len(self.content) - place - dtype.itemsize) // np.dtype(item_kind).itemsize
        if not 0 <= value <= room or value != int(value):  # NaN fails the first comparison
            raise InputError(
                f"{self.path}: is cut off or damaged: a list of {element.name!r} claims {value:g} items, and"
                f" the rest of the file has room for {room}"
            )
        return int(value)

    def _indices(self, items: NDArray, element: Element) -> NDArray[np.int64]:
        if items.dtype.kind == "f" and not ((items == np.rint(items)) & (np.abs(items) < 2**53)).all():
            raise InputError(f"{self.path}: expected whole numbers in {element.name!r}, got others")
        return items.astype(np.int64)

    def _cut_off(self, element: Element) -> InputError:
        return InputError(
            f"{self.path}: is cut off or damaged: it ends before the {element.count} of {element.name!r} that"
            " its header promises"
        )


class _Text:
    """The data part of an ASCII file: one line per vertex or face."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self.lines = [line for line in content.splitlines() if line.strip()]
        self.position = 0

    def columns(self, element: Element, names: tuple[str, ...]) -> NDArray[np.float64]:
        places = [_find(self.path, element, (name,), is_list=False) for name in names]
        if any(item.count_kind for item in element.properties):
            raise InputError(f"{self.path}: vertices with lists are not supported")
        words: list[bytes] = []
        for line in self.skip(element):
            row = line.split()
            if len(row) != len(element.properties):
                raise self._no_row(element, line)
            words += [row[place] for place in places]
        try:
            return reals(words).reshape(-1, 3)
        except ValueError as error:
            raise InputError(
                f"{self.path}: expected numbers in the lines of 'vertex', got others ({error})"
            ) from error

    def lists(self, element: Element, names: tuple[str, ...]) -> Lists:
        wanted = _find(self.path, element, names, is_list=True)
        return [self._list(element, wanted, line) for line in self.skip(element)]

    def _list(self, element: Element, wanted: int, line: bytes) -> list[int]:
        words, place, found = line.split(), 0, []
        try:
            for index, item in enumerate(element.properties):
                length = whole(words[place]) if item.count_kind else 1
                first = place + bool(item.count_kind)
                place = first + length
                if length < 0 or place > len(words):
                    raise self._no_row(element, line)
                if index == wanted:
                    found = [whole(word) for word in words[first:place]]
        except (ValueError, IndexError) as error:
            raise self._no_row(element, line) from error
        if place != len(words):
            raise self._no_row(element, line)
        return found

    def skip(self, element: Element) -> list[bytes]:
        """The element's lines."""
        count = element.count if element.properties else 0
        lines = self.lines[self.position : self.position + count]
        if len(lines) < count:
            raise InputError(
                f"{self.path}: is cut off: {len(lines)} lines of {element.name!r} where its header declares"
                f" {count}"
            )
        self.position += count
        return lines

    def _no_row(self, element: Element, line: bytes) -> InputError:
        shown = line[:40].decode("latin1")
        words = " ".join(f"n and n of {p.name}" if p.count_kind else p.name for p in element.properties)
        return InputError(
            f"{self.path}: expected numbers, {words[:80]}, in a line of {element.name!r}, got {shown!r}"
        )
