"""The binary part of a GLB file: arrays in one buffer, and the JSON that says where they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# glTF's numbers for kinds of elements, and for what a buffer view is used for.
_KINDS = {"u1": 5121, "u2": 5123, "u4": 5125, "f4": 5126}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
VERTEX_DATA, INDEX_DATA = 34962, 34963


class GlbBuffer:
    """Collects arrays. `views` and `accessors` are the JSON; an accessor's number is its place there."""

    def __init__(self) -> None:
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self._parts: list[bytes] = []
        self._length = 0

    def content(self) -> bytes:
        """The buffer; its length is a multiple of 4."""
        return b"".join(self._parts)

    def view(self, data: bytes, target: int | None = None, stride: int | None = None) -> int:
        """Add bytes as a buffer view, which begins at a multiple of 4; its number."""
        entry: dict[str, Any] = {"buffer": 0, "byteOffset": self._length, "byteLength": len(data)}
        if stride is not None:
            entry["byteStride"] = stride
        if target is not None:
            entry["target"] = target
        padded = data + bytes(-len(data) % 4)
        self._parts.append(padded)
        self._length += len(padded)
        self.views.append(entry)
        return len(self.views) - 1

    def accessor(
        self, array: NDArray, target: int | None = None, *, bounds: bool = False, normalized: bool = False
    ) -> int:
        """Add (N,) or (N, C) uint8, uint16, uint32 or float32; the accessor's number.

        bounds: note the least and the largest of each column. normalized: integers stand for 0 to 1.
        """
        table = array.reshape(len(array), -1)
        stride = None
        width = table.shape[1] * table.itemsize
        if target == VERTEX_DATA and width % 4:  # each vertex begins at a multiple of 4
            stride = width + -width % 4
            rows = np.zeros((len(table), stride), np.uint8)
            rows[:, :width] = np.ascontiguousarray(table).view(np.uint8).reshape(len(table), width)
            data = rows.tobytes()
        else:
            data = _little(table).tobytes()
        entry = {"bufferView": self.view(data, target, stride), **_described(table)}
        if normalized:
            entry["normalized"] = True
        if bounds:
            entry |= _bounds(table)
        self.accessors.append(entry)
        return len(self.accessors) - 1

    def moves(self, table: NDArray[np.float32], *, bounds: bool = False) -> int:
        """Add the (N, 3) float32 of a morph target; rows of zeros are left out where that is smaller."""
        rows = np.flatnonzero((table[:, 0] != 0) | (table[:, 1] != 0) | (table[:, 2] != 0))
        index = rows.astype(np.uint16 if len(table) <= 0xFFFF else np.uint32)
        if len(rows) * (table.itemsize * table.shape[1] + index.itemsize) >= table.nbytes:
            return self.accessor(table, VERTEX_DATA, bounds=bounds)
        entry = _described(table)
        if bounds:
            entry |= _bounds(table)
        if len(rows):  # an accessor without anything is one of zeros
            entry["sparse"] = {
                "count": len(rows),
                "indices": {
                    "bufferView": self.view(_little(index).tobytes()),
                    "componentType": _KINDS[index.dtype.str[1:]],
                },
                "values": {"bufferView": self.view(_little(table[rows]).tobytes())},
            }
        self.accessors.append(entry)
        return len(self.accessors) - 1


def _described(table: NDArray) -> dict[str, Any]:
    kind = _KINDS[table.dtype.str[1:]]
    return {"componentType": kind, "count": len(table), "type": _TYPES[table.shape[1]]}


def _bounds(table: NDArray) -> dict[str, Any]:
    # float32 as Python's floats keep their value: readers compare them with the data.
    return {"min": table.min(axis=0).tolist(), "max": table.max(axis=0).tolist()}


def _little(table: NDArray) -> NDArray:
    return np.ascontiguousarray(table, table.dtype.newbyteorder("<"))
