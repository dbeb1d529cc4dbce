"""A face model at only its 68 landmarks: enough to decode landmark predictions.

The 3DDFA family ships such a model with its evaluation code: `u_base.txt` (204 numbers, x y z of each
landmark), `w_shp_base.txt` and `w_exp_base.txt` (204 rows, one column per mode), and the whitening of its
parameters as a pickle with `param_mean` and `param_std`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

import twodasl_ext

from ..arguments import path_of
from ..errors import InputError
from ..geometry.parameters import Whitening
from ..geometry.projection import crop_vertices
from ..io.files import regular_file
from ..io.pickles import read_array_pickle

if TYPE_CHECKING:
    from ..morphable import MorphableModel

WHITENING_FILE = "param_whitening.pkl"

_MEAN, _SHAPE, _EXPRESSION = "u_base.txt", "w_shp_base.txt", "w_exp_base.txt"


@dataclass(frozen=True, eq=False)
class SparseBasis:
    """mean (68, 3) and modes (K, 68, 3), float64, in the model's unit; name describes their source."""

    name: str
    mean: NDArray[np.float64]
    modes: NDArray[np.float64]

    @classmethod
    def from_model(cls, model: MorphableModel) -> SparseBasis:
        """The landmarks of a complete face model."""
        indices = model.landmarks
        return cls(
            model.name, model.mean[indices].astype(np.float64), model.modes[:, indices].astype(np.float64)
        )

    def crop_landmarks(self, parameters: NDArray[np.floating]) -> NDArray[np.float64]:
        """Landmarks (n, 68, 3) in crop pixels (x, row, z) of parameters (n, 12+K), not whitened.

        Raises ValueError for another number of parameters.
        """
        basis = twodasl_ext.MorphableBasis(self.mean, self.modes, storage=torch.float64)
        return crop_vertices(basis, torch.as_tensor(np.asarray(parameters, dtype=np.float64))).numpy()


def is_sparse_basis(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder holds the three text files."""
    return all((Path(folder) / name).is_file() for name in (_MEAN, _SHAPE, _EXPRESSION))


def read_sparse_basis(folder: str | os.PathLike[str]) -> SparseBasis:
    """Read the three text files. Raises InputError naming the one that is missing or does not fit."""
    path = path_of(folder, "a folder", "folder")
    mean = _numbers(path / _MEAN).reshape(-1)
    shape, expression = _numbers(path / _SHAPE), _numbers(path / _EXPRESSION)
    if mean.shape != (204,):
        raise InputError(f"{path / _MEAN}: expected 204 numbers, x y z of 68 landmarks, got {mean.size}")
    for name, modes in ((_SHAPE, shape), (_EXPRESSION, expression)):
        if modes.ndim != 2 or len(modes) != 204:
            raise InputError(
                f"{path / name}: expected 204 rows, one column per mode, got shape {modes.shape}"
            )
    modes = np.concatenate([shape, expression], axis=1).T.reshape(-1, 68, 3)
    counts = f"{shape.shape[1]} shape + {expression.shape[1]} expression modes"
    return SparseBasis(f"{path} (68 landmarks, {counts})", mean.reshape(68, 3), np.ascontiguousarray(modes))


def read_whitening(path: str | os.PathLike[str]) -> Whitening:
    """Mean and standard deviation of parameters from 3DDFA's pickle, read without running it.

    Raises InputError naming the file if it is not such a pickle or its two arrays do not fit.
    """
    content = read_array_pickle(path)
    arrays = [content.get(key) if isinstance(content, dict) else None for key in ("param_mean", "param_std")]
    if not all(isinstance(array, np.ndarray) for array in arrays):
        raise InputError(f"{path}: expected a pickled dict with the arrays param_mean and param_std")
    try:
        mean, std = (torch.from_numpy(np.array(array, dtype=np.float32).reshape(-1)) for array in arrays)
        return Whitening(mean, std)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def _numbers(file: Path) -> NDArray[np.float64]:
    regular_file(file)
    try:
        numbers = np.loadtxt(file, dtype=np.float64, ndmin=1)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise InputError(f"{file}: expected rows of numbers ({error})") from error
    if not numbers.size or not np.isfinite(numbers).all():
        raise InputError(
            f"{file}: expected finite numbers, got {'none' if not numbers.size else 'NaN or infinity'}"
        )
    return numbers
