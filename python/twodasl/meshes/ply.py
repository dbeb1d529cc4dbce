"""PLY: ascii, and binary of either byte order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .mesh import MAX_VERTICES, Mesh, checked_mesh, fan

_KINDS = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_CORNERS = ("vertex_indices", "vertex_index")
_HEADER_LIMIT = 1 << 16

Lists = list[list[int]] | NDArray[np.int64]


@dataclass
class _Property:
    name: str
    kind: str  # of the value, or of a list's items
    count_kind: str = ""  # of a list's length; empty for a plain value


@dataclass
class _Element:
    name: str
    count: int
    properties: list[_Property] = field(default_factory=list)


def read_ply(path: Path) -> Mesh:
    """Vertices `x y z` and faces `vertex_indices` of a PLY file.

    Other elements and properties are skipped; polygons become fans of triangles. Raises InputError where the
    header is not PLY's, or the file is shorter than its header says.
    """
    content = path.read_bytes()
    order, elements, start = _header(path, content)
    if not any(element.name == "vertex" for element in elements):
        raise InputError(f"{path}: expected a PLY mesh with an element 'vertex', got none")
    source = _Text(path, content[start:]) if order == "" else _Binary(path, content, start, order)
    vertices: NDArray[np.float64] | None = None
    triangles: NDArray[np.int64] | None = None
    for element in elements:
        if element.name == "vertex":
            vertices = source.columns(element, ("x", "y", "z"))
        elif element.name == "face":
            triangles = _triangles(source.lists(element, _CORNERS))
        else:
            source.skip(element)
        if vertices is not None and triangles is not None:
            break
    assert vertices is not None
    return checked_mesh(path, vertices, triangles)


def _header(path: Path, content: bytes) -> tuple[str, list[_Element], int]:
    """Byte order ("" for ascii), elements, and where the data begin."""
    end = content.find(b"end_header", 0, _HEADER_LIMIT)
    line_end = content.find(b"\n", end)
    if content[:4].strip() != b"ply" or end < 0 or line_end < 0:
        raise InputError(f"{path}: expected a PLY header, 'ply' to 'end_header', got none that is whole")
    order: str | None = None
    elements: list[_Element] = []
    for line in content[:end].decode("latin1").splitlines()[1:]:
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) == 3 and words[1] in _ORDERS:
            order = _ORDERS[words[1]]
        elif words[0] == "element" and len(words) == 3 and words[2].isdigit():
            elements.append(_Element(words[1], int(words[2])))
        elif words[0] == "property" and elements and len(words) == 3 and words[1] in _KINDS:
            elements[-1].properties.append(_Property(words[2], _KINDS[words[1]]))
        elif (
            words[:2] == ["property", "list"]
            and elements
            and len(words) == 5
            and words[2] in _KINDS
            and words[3] in _KINDS
        ):
            elements[-1].properties.append(_Property(words[4], _KINDS[words[3]], _KINDS[words[2]]))
        else:
            raise InputError(f"{path}: the PLY header has a line that cannot be understood: {line[:60]!r}")
    if order is None:
        raise InputError(f"{path}: expected a PLY format, ascii or binary, got a header without one")
    for element in elements:
        if element.count > MAX_VERTICES:
            raise InputError(
                f"{path}: expected a mesh, got a header that claims {element.count} {element.name}"
            )
    return order, elements, line_end + 1


def _triangles(faces: Lists) -> NDArray[np.int64]:
    if isinstance(faces, np.ndarray):  # all of one length
        sides = faces.shape[1]
        parts = [faces[:, [0, i, i + 1]] for i in range(1, sides - 1)]
        return np.concatenate(parts) if parts else np.empty((0, 3), np.int64)
    fans = [triangle for face in faces for triangle in fan(face)]
    return np.array(fans, np.int64).reshape(-1, 3)


def _find(path: Path, element: _Element, names: tuple[str, ...], is_list: bool) -> int:
    for index, item in enumerate(element.properties):
        if item.name in names and bool(item.count_kind) == is_list:
            return index
    raise InputError(f"{path}: expected a property {names[0]!r} of {element.name!r}, got none")


class _Binary:
    """The data part of a binary file, read element after element."""

    def __init__(self, path: Path, content: bytes, start: int, order: str) -> None:
        self.path, self.content, self.position, self.order = path, content, start, order

    def columns(self, element: _Element, names: tuple[str, ...]) -> NDArray[np.float64]:
        for name in names:
            _find(self.path, element, (name,), is_list=False)
        if any(item.count_kind for item in element.properties):
            raise InputError(f"{self.path}: vertices with a list of a varying length are not supported")
        table = self._take(self._record(element), element)
        return np.stack([table[name].astype(np.float64) for name in names], axis=1)

    def lists(self, element: _Element, names: tuple[str, ...]) -> Lists:
        wanted = _find(self.path, element, names, is_list=True)
        if element.count == 0:
            return []
        if sum(bool(item.count_kind) for item in element.properties) == 1:
            sides = self._first_length(element, wanted)
            # A damaged length must not become a record of gigabytes.
            record = self._record(element, sides if 0 <= sides <= len(self.content) else 0)
            size = record.itemsize * element.count
            if self.position + size <= len(self.content):
                table = np.frombuffer(self.content, record, element.count, self.position)
                if (table[f"{wanted} length"] == sides).all():
                    self.position += size
                    name = element.properties[wanted].name
                    return table[name].astype(np.int64).reshape(element.count, sides)
        return self._walk(element, wanted)

    def skip(self, element: _Element) -> None:
        if any(item.count_kind for item in element.properties):
            self._walk(element, None)
        else:
            self._take(self._record(element), element)

    def _record(self, element: _Element, sides: int = 0) -> np.dtype:
        fields: list[tuple] = []
        for index, item in enumerate(element.properties):
            if item.count_kind:
                fields.append((f"{index} length", self.order + item.count_kind))
                fields.append((item.name, self.order + item.kind, (sides,)))
            else:
                fields.append((item.name, self.order + item.kind))
        try:
            return np.dtype(fields)
        except ValueError as error:  # two properties of one name
            raise InputError(f"{self.path}: the PLY header names a property twice") from error

    def _take(self, record: np.dtype, element: _Element) -> NDArray:
        size = record.itemsize * element.count
        if self.position + size > len(self.content):
            raise self._cut_off(element)
        table = np.frombuffer(self.content, record, element.count, self.position)
        self.position += size
        return table

    def _first_length(self, element: _Element, wanted: int) -> int:
        before = _Element("", 1, element.properties[:wanted])
        place = self.position + self._record(before).itemsize
        return self._number(place, element.properties[wanted].count_kind, element)

    def _walk(self, element: _Element, wanted: int | None) -> list[list[int]]:
        """The lists of an element one by one, where their lengths differ."""
        found: list[list[int]] = []
        for _ in range(element.count):
            for index, item in enumerate(element.properties):
                length = 1
                if item.count_kind:
                    length = self._number(self.position, item.count_kind, element)
                    self.position += np.dtype(item.count_kind).itemsize
                kind = np.dtype(self.order + item.kind)
                if length < 0 or self.position + length * kind.itemsize > len(self.content):
                    raise self._cut_off(element)
                if index == wanted:
                    found.append(
                        np.frombuffer(self.content, kind, length, self.position).astype(int).tolist()
                    )
                self.position += length * kind.itemsize
        return found

    def _number(self, place: int, kind: str, element: _Element) -> int:
        dtype = np.dtype(self.order + kind)
        if place + dtype.itemsize > len(self.content):
            raise self._cut_off(element)
        return int(np.frombuffer(self.content, dtype, 1, place)[0])

    def _cut_off(self, element: _Element) -> InputError:
        return InputError(
            f"{self.path}: is cut off or damaged: it ends before the {element.count} of {element.name!r} that"
            " its header promises"
        )


class _Text:
    """The data part of an ascii file: a line for each vertex and face."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self.lines = [line for line in content.splitlines() if line.strip()]
        self.position = 0

    def columns(self, element: _Element, names: tuple[str, ...]) -> NDArray[np.float64]:
        places = [_find(self.path, element, (name,), is_list=False) for name in names]
        rows = [line.split() for line in self.skip(element)]
        if any(item.count_kind for item in element.properties[: max(places)]):
            raise InputError(f"{self.path}: vertices with a list before their coordinates are not supported")
        try:
            return (
                np.array([[row[place] for place in places] for row in rows]).astype(np.float64).reshape(-1, 3)
            )
        except (ValueError, IndexError) as error:
            raise InputError(f"{self.path}: expected numbers in the lines of 'vertex', got others") from error

    def lists(self, element: _Element, names: tuple[str, ...]) -> Lists:
        wanted = _find(self.path, element, names, is_list=True)
        found: list[list[int]] = []
        for line in self.skip(element):
            words, place = line.split(), 0
            try:
                for item in element.properties[:wanted]:
                    place += 1 + int(words[place]) if item.count_kind else 1
                length = int(words[place])
                corners = [int(word) for word in words[place + 1 : place + 1 + length]]
            except (ValueError, IndexError):
                length, corners = 1, []
            if len(corners) != length:
                shown = line[:40].decode("latin1")
                raise InputError(
                    f"{self.path}: expected 'n' and n vertices in a line of 'face', got {shown!r}"
                )
            found.append(corners)
        return found

    def skip(self, element: _Element) -> list[bytes]:
        """The element's lines."""
        lines = self.lines[self.position : self.position + element.count]
        if len(lines) < element.count:
            raise InputError(
                f"{self.path}: is cut off: {len(lines)} lines of {element.name!r} where its header promises"
                f" {element.count}"
            )
        self.position += element.count
        return lines
