"""The header of a PLY file: byte order, elements and their properties."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..io.text import plain_text, whole
from .mesh import MAX_VERTICES

KINDS = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass
class Property:
    """A property of an element: a value, or a list of values, in each row."""

    name: str
    kind: str  # of the value, or of a list's items
    count_kind: str = ""  # of a list's length; empty for a plain value


@dataclass
class Element:
    """Rows of the same properties."""

    name: str
    count: int
    properties: list[Property] = field(default_factory=list)


@dataclass
class Header:
    """order: "" for ASCII, otherwise numpy's byte-order character. content: the file, whose data begin at
    `start`.
    """

    order: str
    elements: list[Element]
    content: bytes
    start: int


def read_header(path: Path, content: bytes) -> Header:
    """Parse the header at the start of `content`. Raises InputError if it is not a complete PLY header."""
    content = plain_text(path, content)
    if content[:4].strip() != b"ply" or content[3:4] not in b"\r\n \t":
        raise InputError(f"{path}: expected a PLY header, 'ply' to 'end_header', got something else")
    # The first line's ending applies to all. With \r\n, words are split before the \r.
    newline, carriage = content.find(b"\n"), content.find(b"\r")
    end = b"\r" if carriage >= 0 and (newline < 0 or carriage < newline - 1) else b"\n"
    order: str | None = None
    elements: list[Element] = []
    start = content.find(end) + 1
    while True:
        stop = content.find(end, start)
        if stop < 0 or start == 0:
            raise InputError(f"{path}: expected a PLY header, 'ply' to 'end_header', got an incomplete one")
        line, start = content[start:stop], stop + 1
        words = [word.decode("latin1") for word in line.split()]
        if words == ["end_header"]:
            break
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) == 3 and words[1] in _ORDERS:
            order = _ORDERS[words[1]]
        elif words[0] == "element" and len(words) == 3:
            elements.append(Element(words[1], _count(path, words[1], words[2].encode("latin1"))))
        elif words[0] == "property" and elements and len(words) == 3 and words[1] in KINDS:
            elements[-1].properties.append(Property(words[2], KINDS[words[1]]))
        elif (
            words[:2] == ["property", "list"]
            and elements
            and len(words) == 5
            and words[2] in KINDS
            and words[3] in KINDS
        ):
            elements[-1].properties.append(Property(words[4], KINDS[words[3]], KINDS[words[2]]))
        else:
            shown = line[:60].decode("latin1")
            raise InputError(f"{path}: the PLY header has an invalid line: {shown!r}")
    if order is None:
        raise InputError(f"{path}: expected a PLY format, ascii or binary, got a header without one")
    _check_once(path, "an element", [element.name for element in elements])
    for element in elements:
        _check_once(path, "a property", [item.name for item in element.properties])
    return Header(order, elements, content, start)


def _count(path: Path, name: str, word: bytes) -> int:
    try:
        count = whole(word)
    except ValueError:
        count = -1
    if not 0 <= count <= MAX_VERTICES:
        shown = word[:40].decode("latin1")
        raise InputError(
            f"{path}: expected a mesh of at most {MAX_VERTICES:,} {name}, got a header that claims {shown!r}"
        )
    return count


def _check_once(path: Path, what: str, names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise InputError(f"{path}: the PLY header names {what} twice")
