"""Reading GLB files back, by the specification and not by the code that writes them."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

KINDS = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
COLUMNS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


class Glb:
    """document: the JSON. buffer: the binary part. Everything that the container promises is checked."""

    def __init__(self, content: bytes) -> None:
        magic, version, length = struct.unpack_from("<4sII", content)
        assert (magic, version, length) == (b"glTF", 2, len(content))
        size, kind = struct.unpack_from("<I4s", content, 12)
        assert kind == b"JSON"
        assert size % 4 == 0
        self.document: dict[str, Any] = json.loads(content[20 : 20 + size])
        rest, kind = struct.unpack_from("<I4s", content, 20 + size)
        assert kind == b"BIN\0"
        assert rest % 4 == 0
        assert 28 + size + rest == len(content)
        self.buffer = content[28 + size :]
        assert self.document["buffers"] == [{"byteLength": rest}]
        self.mesh = self.document["meshes"][0]
        self.primitive = self.mesh["primitives"][0]

    def view(self, number: int) -> bytes:
        view = self.document["bufferViews"][number]
        assert view["byteOffset"] % 4 == 0
        return self.buffer[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]

    def _table(self, number: int, count: int, kind: np.dtype, columns: int) -> np.ndarray:
        data, width = self.view(number), kind.itemsize * columns
        stride = self.document["bufferViews"][number].get("byteStride", width)
        assert len(data) >= stride * (count - 1) + width
        rows = np.lib.stride_tricks.as_strided(np.frombuffer(data, np.uint8), (count, width), (stride, 1))
        return np.ascontiguousarray(rows).view(kind)

    def array(self, number: int) -> np.ndarray:
        """(N, C) of an accessor; its bounds, where it has some, are those of the data."""
        entry = self.document["accessors"][number]
        kind, columns = np.dtype(KINDS[entry["componentType"]]), COLUMNS[entry["type"]]
        if "bufferView" in entry:
            table = self._table(entry["bufferView"], entry["count"], kind, columns)
        else:
            table = np.zeros((entry["count"], columns), kind)
        if sparse := entry.get("sparse"):
            indices, values = sparse["indices"], sparse["values"]
            index_kind = np.dtype(KINDS[indices["componentType"]])
            rows = self._table(indices["bufferView"], sparse["count"], index_kind, 1)[:, 0]
            assert (np.diff(rows.astype(int)) > 0).all()
            table[rows] = self._table(values["bufferView"], sparse["count"], kind, columns)
        for key, least in (("min", table.min(axis=0)), ("max", table.max(axis=0))):
            if key in entry:
                np.testing.assert_array_equal(np.float32(entry[key]), least)
        return table

    def attribute(self, name: str) -> np.ndarray:
        return self.array(self.primitive["attributes"][name])

    @property
    def triangles(self) -> np.ndarray:
        return self.array(self.primitive["indices"]).reshape(-1, 3).astype(int)

    @property
    def names(self) -> list[str]:
        return self.mesh["extras"]["targetNames"]

    def target(self, name: str, attribute: str = "POSITION") -> np.ndarray:
        return self.array(self.primitive["targets"][self.names.index(name)][attribute])

    @property
    def weights(self) -> dict[str, float]:
        return dict(zip(self.names, self.mesh["weights"], strict=True))

    def node(self, name: str) -> dict[str, Any]:
        (found,) = [node for node in self.document["nodes"] if node["name"] == name]
        return found

    def channels(self) -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
        """Of the animation: path -> times (F,), values, and the node's name."""
        found = {}
        (animation,) = self.document["animations"]
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            node = self.document["nodes"][channel["target"]["node"]]["name"]
            times = self.array(sampler["input"])[:, 0]
            found[channel["target"]["path"]] = (times, self.array(sampler["output"]), node)
        return found
