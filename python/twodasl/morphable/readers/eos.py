"""Models of eos (github.com/patrikhuber/eos), including the Surrey Face Model `sfm_shape_3448.bin`.

eos writes models as cereal's binary archives: little-endian, without a header. A uint32 version (1 to 4)
comes first, then the shape model, the color model, and, from version 2 on, an optional expression model; the
rest (landmark names, texture coordinates) is not read. A model of principal components is

    mean, orthonormal basis, eigenvalues    each int32 rows, int32 columns, float32 by columns
    triangles                               uint64 number, 3 int32 each, counted from 0

Vectors have one column, the mean is x y z (r g b) interleaved, and eigenvalues are variances. An optional
part starts with a byte, 1 for none. The expression model is an int32, 0 for principal components or 1 for
blendshapes: a uint64 number, and for each a uint64 length, its name, and a vector of displacements.
Blendshapes may also be in a separate file next to the model, `expression_blendshapes_*.bin`, which is read if
the model has none.

eos maps the 68 landmarks to the Surrey model without the jaw line and the inner mouth corners, so a file with
all 68 vertex indices must be next to the model: `MODEL.landmarks68.txt`.

Conversion: millimeters (the file's unit is determined from the outer eye corners); modes of one standard
deviation; for blendshapes, whose coefficients go from 0 to 1, `EXPRESSION_SPREAD` counts as one, as for
ICT-FaceKit; triangles outward; colors from 0 to 1 unchanged (up to 255: divided). Version 0, before 2017,
stored OpenCV matrices and is rejected, as in eos.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..model import MorphableModel
from .assemble import (
    Floats,
    assemble,
    columns,
    measured_unit,
    missing_landmarks,
    points,
    side_landmarks,
    spreads,
    triangle_rows,
)
from .containers import LARGEST
from .ict_facekit import EXPRESSION_SPREAD

VERSIONS = range(1, 5)
BLENDSHAPES = "expression_blendshapes_*.bin"


@dataclass
class _Components:
    """One model of principal components, as stored."""

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]
    variances: NDArray[np.float32]
    triangles: NDArray[np.int32]


class _Archive:
    """A file's bytes, read in order; every size is checked against what is left."""

    def __init__(self, path: Path) -> None:
        self.path, self.at = path, 0
        try:
            with open(path, "rb") as stream:
                self.content = stream.read(LARGEST + 1)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        if len(self.content) > LARGEST:
            raise InputError(f"{path}: expected at most {LARGEST >> 30} GiB, got a larger file")

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self.content) - self.at:
            raise InputError(f"{self.path}: is not an eos model, or is cut off after {self.at} bytes")
        self.at += size
        return self.content[self.at - size : self.at]

    def number(self, code: str) -> int:
        return struct.unpack("<" + code, self.take(struct.calcsize(code)))[0]

    def matrix(self) -> NDArray[np.float32]:
        rows, count = self.number("i"), self.number("i")
        # A negative size must not become a positive product.
        values = np.frombuffer(self.take(4 * rows * count if min(rows, count) >= 0 else -1), "<f4")
        return values.reshape(rows, count, order="F")

    def components(self) -> _Components:
        mean, basis, variances = (self.matrix() for _ in range(3))
        triangles = np.frombuffer(self.take(12 * self.number("Q")), "<i4").reshape(-1, 3)
        return _Components(mean, basis, variances, triangles)

    def blendshapes(self) -> dict[str, NDArray[np.float32]]:
        shapes = {}
        for _ in range(self.number("Q")):
            name = self.take(self.number("Q")).decode("utf-8", "replace")
            shapes[name] = self.matrix()
        return shapes


def is_eos(head: bytes) -> bool:
    """Whether a file with this beginning may be one: a version, then a vector of complete vertices."""
    if len(head) < 12:
        return False
    version, rows, count = struct.unpack("<Iii", head[:12])
    return version in VERSIONS and count == 1 and rows > 0 and rows % 3 == 0


def read_eos(path: Path) -> MorphableModel:
    """Read the file. Raises InputError naming what is missing or invalid."""
    archive = _Archive(path)
    version = archive.number("I")
    if version not in VERSIONS:
        raise InputError(f"{path}: expected a model of eos of version 1 to 4, got {version}")
    shape, color = archive.components(), archive.components()
    mean = points(path, "mean", shape.mean)
    count = len(mean)
    expression: Any = None
    if version > 1 and not archive.number("B"):
        kind = archive.number("i")
        if kind not in (0, 1):
            raise InputError(f"{path}: expected expressions of kind 0 or 1, got {kind}")
        expression = archive.blendshapes() if kind else archive.components()
    beside = sorted(path.parent.glob(BLENDSHAPES))
    if expression is None and beside:
        if len(beside) > 1:
            raise InputError(f"{path}: expected one {BLENDSHAPES} next to it, got {len(beside)}")
        expression = _Archive(beside[0]).blendshapes()
    expressions: Floats | None = None
    names: tuple[str, ...] | None = None
    if isinstance(expression, _Components):
        mean += points(path, "mean of the expressions", expression.mean, count)
        expressions = _modes(path, expression, count)
    elif expression:
        moved = [points(path, f"blendshape {name}", shape, count) for name, shape in expression.items()]
        expressions = np.stack(moved) * np.float32(EXPRESSION_SPREAD)
        names = (*(f"shape{index:03d}" for index in range(shape.basis.shape[1])), *expression)
    landmarks = side_landmarks(path, count)
    if landmarks is None:
        raise missing_landmarks(path, "has no 68 landmarks")
    albedo = None
    if color.mean.size:
        tones = points(path, "mean color", color.mean, count)
        scale = np.float32(1 if tones.max() <= 2 else 1 / 255)
        albedo = tones * scale, _modes(path, color, count) * scale
    unit = measured_unit(path, mean[landmarks])
    triangles = triangle_rows(path, "triangles", shape.triangles, count, 0)
    modes = _modes(path, shape, count)
    return assemble(path, path.stem, unit, mean, modes, expressions, triangles, landmarks, albedo, names)


def _modes(path: Path, model: _Components, count: int) -> Floats:
    variances = spreads(path, "eigenvalues", model.variances, model.basis.shape[1])
    return columns(path, "basis", model.basis, count, np.sqrt(variances))
