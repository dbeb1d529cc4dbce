"""The embedded head's 52 blend shapes as a file: whole numbers of steps, where a shape moves anything."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....arguments import path_of
from ....io.files import atomic_path, writing
from ...arkit.names import ARKIT_NAMES, mirror_name

SHIPPED = Path(__file__).resolve().parents[3] / "resources" / "procedural-head-arkit.npz"
"""The output of `twodasl models head --arkit`."""

STEP = 2.0**-9
"""Displacements (mm) are multiples of this: a fiftieth of a hair, and far above the last bits in which
machines differ."""


@dataclass(frozen=True)
class StoredShapes:
    """Blend shapes in steps of `STEP`.

    steps: name -> (N, 3) whole numbers, of pairs only the subject's left. mirror: (N,) the vertex at the
    mirrored position.
    """

    steps: dict[str, NDArray[np.int64]]
    mirror: NDArray[np.int64]

    def fields(self) -> NDArray[np.float32]:
        """(52, N, 3) float32 millimeters in the order of `ARKIT_NAMES`; exact."""
        result = np.zeros((len(ARKIT_NAMES), len(self.mirror), 3), np.float32)
        for row, name in zip(result, ARKIT_NAMES, strict=True):
            if name in self.steps:
                row[:] = self.steps[name]
            elif mirror_name(name) in self.steps:
                row[:] = self.steps[mirror_name(name)][self.mirror] * [-1, 1, 1]
        result *= np.float32(STEP)
        return result

    def largest_difference(self, other: StoredShapes) -> float:
        """Millimeters between two sets of shapes; infinity where they are of different heads."""
        if self.steps.keys() != other.steps.keys() or not np.array_equal(self.mirror, other.mirror):
            return float("inf")
        return STEP * max(int(np.abs(self.steps[name] - other.steps[name]).max()) for name in self.steps)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one compressed `.npz`, atomically: for every shape the vertices that it moves, and how."""
        target = path_of(path, "a file to write", "path")
        moved = {name: np.flatnonzero(field.any(axis=1)) for name, field in self.steps.items()}
        # Differences of sorted numbers, and one axis after the other, compress better.
        gaps = [np.diff(rows, prepend=0) for rows in moved.values()]
        steps = [self.steps[name][rows] for name, rows in moved.items()]
        with atomic_path(target) as place, writing(target), open(place, "wb") as stream:
            np.savez_compressed(
                stream,
                names=np.array(list(self.steps)),
                mirror=self.mirror.astype(np.uint16),
                counts=np.array([len(rows) for rows in moved.values()], np.int32),
                rows=np.concatenate(gaps).astype(np.uint16),
                steps=np.concatenate(steps).T.astype(np.int16),
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> StoredShapes:
        """Read a file written by `save`."""
        with np.load(path, allow_pickle=False) as archive:
            names, mirror = archive["names"], archive["mirror"].astype(np.int64)
            ends = np.cumsum(archive["counts"])[:-1]
            rows, values = np.split(archive["rows"], ends), np.split(archive["steps"].T, ends)
        steps = {}
        for name, gaps, moves in zip(names, rows, values, strict=True):
            field = np.zeros((len(mirror), 3), np.int64)
            field[np.cumsum(gaps, dtype=np.int64)] = moves
            steps[str(name)] = field
        return cls(steps, mirror)


@cache
def procedural_shapes() -> NDArray[np.float32]:
    """(52, N, 3) float32 millimeters: the shipped shapes, read only. Loaded once per process."""
    fields = StoredShapes.load(SHIPPED).fields()
    fields.flags.writeable = False
    return fields
