"""Files of predictions: landmarks in the image, or parameters of a face model."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arrays import read_array, read_point_array
from ..data.aflw2000 import Aflw2000
from ..errors import InputError
from ..morphable.parameters import POSE_SIZE, Whitening
from .sparse_basis import SparseBasis, is_sparse_basis

BASIS_FOLDER = "bfm_landmarks"
"""Where the basis of published predictions is looked for: a folder of this name in the root or beside it."""


def read_predictions(
    path: str | os.PathLike[str],
    data: Aflw2000,
    *,
    basis: SparseBasis | None = None,
    whitening: Whitening | None = None,
    crop_pixels: bool = False,
) -> tuple[NDArray[np.float64], str]:
    """Predicted landmarks (n, 68, 2) in image pixels for the n images of `data`, and words on what was read.

    The `.npy` file holds a row for each of the images (or for each image of the whole folder, of which those
    left out are skipped): landmarks (n, 68, 2|3) or (n, 2|3, 68), in image pixels, or with `crop_pixels` in
    those of the crop; or parameters (n, 12+K) of `basis` in crop space, whitened if `whitening` is given.

    Raises InputError naming the file when it does not fit.
    """
    array = read_array(path)
    if array.ndim == 3:
        points = _rows(path, read_point_array(path), data)
        if crop_pixels:
            return data.crops_to_image(points), f"{path} (68 landmarks in crop pixels)"
        return points, f"{path} (68 landmarks in image pixels)"
    if array.ndim != 2:
        raise InputError(
            f"{path}: expected landmarks (n, 68, 2) or (n, 2, 68), or parameters (n, 12+K),"
            f" got shape {array.shape}"
        )
    if basis is None:
        raise InputError(
            f"{path}: holds parameters, shape {array.shape}; give the face model they belong to:"
            " --basis-dir or --model"
        )
    size = POSE_SIZE + len(basis.modes)
    if array.shape[1] != size:
        raise InputError(f"{path}: expected {size} parameters a row for {basis.name}, got {array.shape[1]}")
    if whitening is not None and len(whitening.mean) != size:
        raise InputError(
            f"{path}: expected a whitening of {size} parameters, got one of {len(whitening.mean)}"
        )
    parameters = _rows(path, np.array(array, dtype=np.float64), data)
    if not np.isfinite(parameters).all():
        raise InputError(f"{path}: expected finite parameters, got NaN or infinity")
    if whitening is not None:
        parameters = parameters * whitening.std.double().numpy() + whitening.mean.double().numpy()
    kind = "parameters" if whitening is None else "whitened parameters"
    return data.crops_to_image(basis.crop_landmarks(parameters)[..., :2]), f"{path} ({size} {kind} a face)"


def find_basis_folder(root: Path) -> Path | None:
    """The folder `bfm_landmarks` in the root or beside it, if there is one with a basis in it."""
    places = (root / BASIS_FOLDER, root.resolve().parent / BASIS_FOLDER)
    return next((place for place in places if is_sparse_basis(place)), None)


def _rows(path: str | os.PathLike[str], array: NDArray[np.float64], data: Aflw2000) -> NDArray[np.float64]:
    if len(array) == len(data):
        return array
    if len(array) == data.total:
        return array[data.rows]
    whole = f" (or {data.total})" if data.total != len(data) else ""
    raise InputError(f"{path}: expected a row for each of {len(data)}{whole} images, got {len(array)}")
