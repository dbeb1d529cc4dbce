"""Files of predictions: landmarks in the image, or parameters of a face model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arguments import flag
from ..datasets.sparse_basis import SparseBasis, is_sparse_basis
from ..errors import InputError
from ..geometry.parameters import POSE_SIZE, Whitening
from ..io.arrays import read_array, read_point_array
from .faces import BenchmarkFaces

BASIS_FOLDER = "bfm_landmarks"
"""Where the basis of published predictions is looked for: a folder of this name in the root or beside it."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a file of predictions says of n images.

    points: (n, L, 2 or 3) image pixels, and z where the file has it. words: on what was read. parameters:
    (n, 12+K) in crop space, not whitened, where the file holds parameters.
    """

    points: NDArray[np.float64]
    words: str
    parameters: NDArray[np.float64] | None = None


def read_predictions(
    path: str | os.PathLike[str],
    data: BenchmarkFaces,
    *,
    basis: SparseBasis | None = None,
    whitening: Whitening | None = None,
    crop_pixels: bool = False,
    counts: Sequence[int] = (68,),
) -> Predicted:
    """Predictions for the n images of `data`, in image pixels.

    The `.npy` file holds a row for each of the images (or for each image of the whole folder, of which those
    left out are skipped): landmarks (n, L, 2|3) or (n, 2|3, L), L one of `counts`, in image pixels, or with
    `crop_pixels` in those of the crop; or parameters (n, 12+K) of `basis` in crop space, whitened if
    `whitening` is given, which give its landmarks.

    Raises InputError naming the file when it does not fit.
    """
    array, crop_pixels = read_array(path), flag(crop_pixels, "crop_pixels")
    if array.ndim == 3:
        count = next((count for count in counts[1:] if count in array.shape[1:]), counts[0])
        points = _rows(path, read_point_array(path, count, depth=True), data)
        kind = "crop" if crop_pixels else "image"
        placed = data.crops_to_image(points) if crop_pixels else points
        return Predicted(placed, f"{path} ({count} landmarks in {kind} pixels)")
    if array.ndim != 2:
        shapes = " or ".join(f"(n, {count}, 2) or (n, 2, {count})" for count in counts)
        raise InputError(
            f"{path}: expected landmarks {shapes}, or parameters (n, 12+K), got shape {array.shape}"
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
    points = data.crops_to_image(basis.crop_landmarks(parameters))
    return Predicted(points, f"{path} ({size} {kind} a face)", parameters)


def find_basis_folder(root: Path) -> Path | None:
    """The folder `bfm_landmarks` in the root or beside it, if there is one with a basis in it."""
    places = (root / BASIS_FOLDER, root.resolve().parent / BASIS_FOLDER)
    return next((place for place in places if is_sparse_basis(place)), None)


def _rows(
    path: str | os.PathLike[str], array: NDArray[np.float64], data: BenchmarkFaces
) -> NDArray[np.float64]:
    if len(array) == len(data):
        return array
    if len(array) == data.total:
        return array[data.rows]
    whole = f" (or {data.total})" if data.total != len(data) else ""
    raise InputError(f"{path}: expected a row for each of {len(data)}{whole} images, got {len(array)}")
