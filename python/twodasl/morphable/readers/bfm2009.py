"""The Basel Face Model 2009 of the University of Basel: `01_MorphableModel.mat`, 53,490 vertices.

`shapeMU`, `texMU` (3N, 1), `shapePC`, `texPC` (3N, 199), with x y z or r g b interleaved, in micrometers and
in colors from 0 to 255; `shapeEV`, `texEV` (199, 1), which are standard deviations despite their name; `tl`
(T, 3) triangles, counted from 1.

The model has no expressions and no landmarks. Files commonly used with it are read if they are next to it:

* `Exp_Pca.bin` (Guo et al., from FaceWarehouse): int32 number of modes, then float32 mean and modes, each 3M
  numbers, with the modes' standard deviations in `std_exp.txt` (Deng et al., Deep3DFaceRecon). They cover the
  M = 53,215 vertices listed by `trimIndex` of `BFM_exp_idx.mat` (counted from 1), 275 fewer. The model is
  reduced to those, and triangles with other vertices are dropped. The expressions' mean is not added, as in
  Deep3DFaceRecon, so that coefficients of 0 are the neutral mean.
* landmarks: `01_MorphableModel.landmarks68.txt` (indices of the vertices that the model keeps), or 3DDFA's
  `keypoints_sim.npy`, or `keypoints` of `facemodel_info.mat` through `idx` of `BFM_front_idx.mat` (both
  Deep3DFaceRecon's, counted from 1); the latter two refer to the 53,215 vertices.

Conversion: millimeters; modes of one standard deviation; colors from 0 to 1; triangles outward.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import InputError
from ...io.matlab import read_mat
from ..model import MorphableModel
from .assemble import (
    BYTE,
    Floats,
    Indices,
    assemble,
    interleaved_landmarks,
    missing_landmarks,
    points,
    side_landmarks,
    spreads,
    triangle_rows,
    vertex_indices,
)
from .containers import LARGEST, read_npy, read_numbers
from .face3d import scaled
from .tddfa import MICROMETER

NAME = "01_MorphableModel.mat"
KEYS = ("shapeMU", "shapePC", "shapeEV", "tl")
COLORS = ("texMU", "texPC", "texEV")


def is_bfm2009(names: set[str]) -> bool:
    """Whether a MATLAB file with variables of these names may be one."""
    return "shapePC" in names


def read_bfm2009(path: Path) -> MorphableModel:
    """Read the file and the files next to it. Raises InputError naming what is missing or invalid."""
    arrays = read_mat(path, (*KEYS, *COLORS))
    missing = [name for name in KEYS if name not in arrays]
    if missing:
        raise InputError(f"{path}: expected the variables {', '.join(KEYS)}, got no {missing[0]}")
    mean = points(path, "shapeMU", arrays["shapeMU"])
    count = len(mean)
    shapes = scaled(path, arrays, "shape", count)
    triangles = triangle_rows(path, "tl", arrays["tl"], count, 1)
    colors = tones = None
    if all(name in arrays for name in COLORS):
        colors = points(path, "texMU", arrays["texMU"], count) / BYTE
        tones = scaled(path, arrays, "tex", count) / BYTE
    kept = _kept_vertices(path, count)
    expressions = _expressions(path, kept)
    if expressions is not None and kept is not None:
        mean, shapes = mean[kept], np.ascontiguousarray(shapes[:, kept])
        colors = None if colors is None else colors[kept]
        tones = None if tones is None else np.ascontiguousarray(tones[:, kept])
        number = np.full(count, -1, np.int64)
        number[kept] = np.arange(len(kept))
        triangles = number[triangles]
        triangles = triangles[(triangles >= 0).all(1)]
    landmarks = side_landmarks(path, len(mean))
    if landmarks is None:
        landmarks = _landmarks_of_kept(path, kept)
        if expressions is None and kept is not None:
            landmarks = kept[landmarks]
    albedo = None if colors is None else (colors, tones)
    return assemble(path, "bfm-2009", MICROMETER, mean, shapes, expressions, triangles, landmarks, albedo)


def _kept_vertices(path: Path, count: int) -> Indices | None:
    file = path.with_name("BFM_exp_idx.mat")
    if not file.is_file():
        return None
    kept = vertex_indices(file, "trimIndex", read_mat(file, ("trimIndex",)).get("trimIndex"), count, 1)
    kept = kept.reshape(-1)
    if len(np.unique(kept)) != len(kept):
        raise InputError(f"{file}: trimIndex: expected every vertex once, got one twice")
    return kept


def _expressions(path: Path, kept: Indices | None) -> Floats | None:
    file = path.with_name("Exp_Pca.bin")
    if not file.is_file():
        return None
    if kept is None:
        raise InputError(f"{file}: covers only a part of {path.name}; put BFM_exp_idx.mat next to it")
    size, row = file.stat().st_size, 12 * len(kept)
    with open(file, "rb") as stream:
        modes = int.from_bytes(stream.read(4), "little", signed=True)
        if modes < 1 or size != 4 + row * (1 + modes) or size > LARGEST:
            raise InputError(
                f"{file}: expected 4 + {row} x (1 + modes) bytes for {len(kept)} vertices, got {size} bytes "
                f"and {modes} modes"
            )
        stream.seek(4 + row)
        rows = np.frombuffer(stream.read(), "<f4")
    deviations = path.with_name("std_exp.txt")
    if not deviations.is_file():
        raise InputError(f"{file}: has modes without their standard deviations; put std_exp.txt next to it")
    sigma = spreads(deviations, "standard deviations", read_numbers(deviations), modes)
    with np.errstate(over="ignore", invalid="ignore"):  # the model rejects what is not finite
        return (rows.reshape(modes, len(kept), 3) * sigma[:, None, None]).astype(np.float32)


def _landmarks_of_kept(path: Path, kept: Indices | None) -> Indices:
    """The 68 landmarks from the files that count among the vertices with expressions."""
    places = path.with_name("keypoints_sim.npy")
    front, info = (path.with_name(name) for name in ("BFM_front_idx.mat", "facemodel_info.mat"))
    if kept is None or not (places.is_file() or (front.is_file() and info.is_file())):
        raise missing_landmarks(path, "has no landmarks")
    if places.is_file():
        return interleaved_landmarks(places, "landmarks", read_npy(places), len(kept))
    index = vertex_indices(front, "idx", read_mat(front, ("idx",)).get("idx"), len(kept), 1).reshape(-1)
    marks = read_mat(info, ("keypoints",)).get("keypoints")
    marks = vertex_indices(info, "keypoints", marks, len(index), 1).reshape(-1)
    if len(marks) != 68:
        raise InputError(f"{info}: keypoints: expected 68 vertices, got {len(marks)}")
    return index[marks]
