"""The Basel Face Models 2017 and 2019 (`model2017-1_bfm_nomouth.h5` and the like), in Statismo's HDF5 layout.

`shape/model`, `expression/model` and `color/model` hold `mean` (3N,), `pcaBasis` (3N, K) of unit columns and
`pcaVariance` (K,), which are variances; `shape/representer/cells` (3, T) are triangles, counted from 0.
Millimeters; colors from 0 to 1, r g b. A file without `expression` (the 2009 model in this layout) gives a
model without expressions.

Its own landmarks are named points without a jaw line, not the 68: put the vertex indices next to it, as
`MODEL.landmarks68.txt` or `Landmarks68_MODEL.anl` (one number per line, counted from 0).

Conversion: the mean is that of shape and expression together; modes of one standard deviation;
triangles outward. `noiseVariance` and the metadata are not read. Needs h5py: `pip install '.[h5]'`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, install_extra
from ..model import MorphableModel
from .assemble import (
    Floats,
    assemble,
    columns,
    missing_landmarks,
    points,
    side_landmarks,
    spreads,
    triangle_rows,
)
from .containers import LARGEST

MILLIMETER = 1.0


def read_basel_h5(path: Path) -> MorphableModel:
    """Read the file. Raises InputError naming what is missing or invalid, or the missing h5py."""
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{path}: reading HDF5 needs h5py; {install_extra('h5')}") from error
    try:
        with h5py.File(path, "r") as file:
            arrays = {
                f"{part}/{name}": _dataset(path, file, f"{part}/{name}")
                for part in ("shape", "expression", "color")
                if part == "shape" or part in file
                for name in ("model/mean", "model/pcaBasis", "model/pcaVariance")
            }
            cells = _dataset(path, file, "shape/representer/cells")
    except InputError:
        raise
    except Exception as error:  # HDF5 fails in many ways on a damaged file
        raise InputError(f"{path}: is a damaged HDF5 file; copy it again") from error
    mean = points(path, "shape/model/mean", arrays["shape/model/mean"])
    count = len(mean)
    shapes = _modes(path, arrays, "shape", count)
    expressions = albedo = None
    if "expression/model/mean" in arrays:
        mean += points(path, "expression/model/mean", arrays["expression/model/mean"], count)
        expressions = _modes(path, arrays, "expression", count)
    if "color/model/mean" in arrays:
        colors = points(path, "color/model/mean", arrays["color/model/mean"], count)
        scale = np.float32(1 if colors.max() <= 2 else 1 / 255)  # the 2009 model's are bytes
        albedo = colors * scale, _modes(path, arrays, "color", count) * scale
    triangles = triangle_rows(path, "shape/representer/cells", cells, count, 0)
    landmarks = side_landmarks(path, count)
    if landmarks is None:
        raise missing_landmarks(path, "has no 68 landmarks")
    return assemble(path, path.stem, MILLIMETER, mean, shapes, expressions, triangles, landmarks, albedo)


def _dataset(path: Path, file: Any, name: str) -> np.ndarray:
    found = file.get(name)
    shape, dtype = getattr(found, "shape", None), getattr(found, "dtype", None)
    if shape is None or dtype is None or dtype.kind not in "fiu":
        raise InputError(f"{path}: expected numbers in {name} as the Basel Face Model has; got none")
    if math.prod(shape) * dtype.itemsize > LARGEST:
        raise InputError(f"{path}: {name}: expected at most {LARGEST >> 30} GiB, got {shape}")
    return found[()]


def _modes(path: Path, arrays: dict[str, np.ndarray], part: str, count: int) -> Floats:
    basis = arrays[f"{part}/model/pcaBasis"]
    label = f"{part}/model/pcaVariance"
    variance = spreads(path, label, arrays[label], basis.shape[1] if basis.ndim == 2 else 0)
    return columns(path, f"{part}/model/pcaBasis", basis, count, np.sqrt(variance))
