"""3DDFA's 62 numbers of a face, and how they become parameters of a face model of the same basis.

300W-LP and 3DDFA describe a face by a camera and by the coefficients of an unscaled basis in micrometers: BFM
2009 for identity and FaceWarehouse's modes for expression, 53,215 vertices. With S in micrometers,

    V = [fR | t] (S, 1),  S = mean + sum_j a_j w_j,  j over 40 shape and 10 expression modes.

A `MorphableModel` may hold that basis in millimeters and with modes of another length, m_j = s_j w_j / 1000.
The camera `[1000 fR | t]` and the coefficients `a_j / s_j` then give the same vertices. Whether a model uses
this basis is determined at the 68 landmarks, not by its name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arguments import path_of
from ..errors import InputError
from ..io.arrays import read_array
from ..morphable import MorphableModel

SHAPES, EXPRESSIONS = 40, 10
"""Modes of identity and of expression in the 62 numbers."""

RAW_SIZE = 12 + SHAPES + EXPRESSIONS

_MILLIMETER = 1e-3
# Two stored forms of one basis agree to float32; a landmark on another vertex is millimeters away.
_MEAN_TOLERANCE, _MODE_TOLERANCE = 0.02, 2e-3
_ARRAYS = ("u_shp.npy", "u_exp.npy", "w_shp_sim.npy", "w_exp_sim.npy", "keypoints_sim.npy")

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RawBasis:
    """The basis at the 68 landmarks, as 3DDFA scales it, in micrometers.

    mean: (68, 3) float64; modes: (50, 68, 3) float64, 40 of shape and 10 of expression.
    """

    mean: Floats
    modes: Floats

    def landmarks(self, raw: NDArray[np.floating]) -> Floats:
        """Landmarks (..., 68, 3), y up, of 62 numbers (..., 62): `[3x4 row-major camera | coefficients]`."""
        values = np.asarray(raw, dtype=np.float64)
        camera = values[..., :12].reshape(*values.shape[:-1], 3, 4)
        shape = self.mean + np.tensordot(values[..., 12:], self.modes, 1)
        return np.asarray(shape @ camera[..., :3].swapaxes(-1, -2) + camera[..., None, :, 3], np.float64)

    def conversion(self, model: MorphableModel) -> Conversion:
        """How the 62 numbers become the model's parameters.

        Modes of the model beyond the 40 + 10 get coefficient 0; a model with fewer drops the others.

        Raises:
            InputError: the model's mean or a mode is not that of this basis at the 68 landmarks.
        """
        marks = model.landmarks
        off = float(np.abs(model.mean[marks] - self.mean * _MILLIMETER).max())
        if off > _MEAN_TOLERANCE:
            raise InputError(
                f"the face model {model.name!r} has another basis: its mean differs by {off:.2g} mm at"
                " a landmark"
            )
        scales = np.ones(SHAPES + EXPRESSIONS)
        for index, mode in self._pairs(model):
            raw = self.modes[index].ravel() * _MILLIMETER
            own = mode[marks].astype(np.float64).ravel()
            scales[index] = own @ raw / (raw @ raw)
            rest = float(np.linalg.norm(own - scales[index] * raw)) / max(float(np.linalg.norm(own)), 1e-30)
            if rest > _MODE_TOLERANCE or scales[index] <= 0:
                kind, number = ("shape", index) if index < SHAPES else ("expression", index - SHAPES)
                raise InputError(
                    f"the face model {model.name!r} has another basis: its {kind} mode {number + 1} differs"
                    f" by {100 * rest:.2g} %"
                )
        return Conversion(len(model.shape_modes), len(model.expression_modes), scales)

    def _pairs(self, model: MorphableModel) -> list[tuple[int, NDArray[np.float32]]]:
        """The raw indices of the modes that both have, and the model's."""
        shapes = list(enumerate(model.shape_modes[:SHAPES]))
        return shapes + [(SHAPES + i, mode) for i, mode in enumerate(model.expression_modes[:EXPRESSIONS])]


@dataclass(frozen=True, eq=False)
class Conversion:
    """Maps the 62 numbers to a model of `shapes` and `expressions` modes; scales (50,): s_j, see above."""

    shapes: int
    expressions: int
    scales: Floats

    def parameters(self, raw: NDArray[np.floating]) -> NDArray[np.float32]:
        """(..., 62) to parameters (..., 12+K) float32 of the model, in the same crop."""
        values = np.asarray(raw, dtype=np.float64)
        camera = values[..., :12].reshape(*values.shape[:-1], 3, 4).copy()
        camera[..., :3] /= _MILLIMETER
        own = np.zeros((*values.shape[:-1], 12 + self.shapes + self.expressions))
        own[..., :12] = camera.reshape(*values.shape[:-1], 12)
        scaled = values[..., 12:] / self.scales
        shapes, expressions = min(self.shapes, SHAPES), min(self.expressions, EXPRESSIONS)
        own[..., 12 : 12 + shapes] = scaled[..., :shapes]
        first = 12 + self.shapes
        own[..., first : first + expressions] = scaled[..., SHAPES : SHAPES + expressions]
        return own.astype(np.float32)


def is_raw_basis(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder holds the basis in one of the two forms that `read_raw_basis` reads."""
    from .sparse_basis import is_sparse_basis

    return is_sparse_basis(folder) or all((Path(folder) / name).is_file() for name in _ARRAYS)


def read_raw_basis(folder: str | os.PathLike[str]) -> RawBasis:
    """Read the basis at its landmarks from 3DDFA's files.

    Either `u_base.txt`, `w_shp_base.txt`, `w_exp_base.txt` (at the 68 landmarks only), or `u_shp.npy`,
    `u_exp.npy`, `w_shp_sim.npy`, `w_exp_sim.npy`, `keypoints_sim.npy` (complete; only the landmarks' rows are
    read). Raises InputError naming the file that is missing or does not fit.
    """
    from .sparse_basis import is_sparse_basis, read_sparse_basis

    path = path_of(folder, "a folder", "folder")
    if is_sparse_basis(path):
        sparse = read_sparse_basis(path)
        if len(sparse.modes) != SHAPES + EXPRESSIONS:
            raise InputError(
                f"{path}: expected {SHAPES} + {EXPRESSIONS} modes in w_shp_base.txt and w_exp_base.txt,"
                f" got {len(sparse.modes)}"
            )
        return RawBasis(sparse.mean, sparse.modes)
    missing = [name for name in _ARRAYS if not (path / name).is_file()]
    if missing:
        raise InputError(
            f"{path}: expected 3DDFA's basis, u_base.txt, w_shp_base.txt, w_exp_base.txt or"
            f" {', '.join(_ARRAYS)}; found no {missing[0]}"
        )
    means, modes = [path / name for name in _ARRAYS[:2]], [path / name for name in _ARRAYS[2:4]]
    size = read_array(means[0]).size
    places = np.asarray(read_array(path / _ARRAYS[4])).ravel().astype(np.int64)
    if places.size != 204 or places.min() < 0 or places.max() >= size:
        raise InputError(
            f"{path / _ARRAYS[4]}: expected 204 positions below {size}, got {places.size} numbers"
        )
    mean = np.zeros(204)
    for file in means:
        array = read_array(file)
        if array.size != size:
            raise InputError(f"{file}: expected {size} numbers, got {array.size}")
        mean += np.asarray(array).reshape(-1)[places]
    columns = []
    for file, count in zip(modes, (SHAPES, EXPRESSIONS), strict=True):
        array = read_array(file)
        if array.ndim != 2 or len(array) != size or array.shape[1] < count:
            raise InputError(f"{file}: expected ({size}, {count}), got {array.shape}")
        columns.append(np.asarray(array[places, :count], dtype=np.float64))
    joined = np.concatenate(columns, axis=1).T.reshape(-1, 68, 3)
    return RawBasis(mean.reshape(68, 3), np.ascontiguousarray(joined))
