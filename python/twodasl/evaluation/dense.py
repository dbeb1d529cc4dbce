"""Dense alignment on AFLW2000-3D: every vertex of the predicted face against the same vertex of the true one.

The data set holds no vertices but the parameters of 3DDFA's basis that give them. The true vertices are
those of the first 40 of its 199 shapes and 10 of its 29 expressions, the modes of 3DDFA's 62 numbers: what is
cut off is part of every dense error, and `DenseTruth.cut` says how much it is at the landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

import twodasl_ext

from ..datasets.basel import EXPRESSIONS, SHAPES, RawBasis
from ..datasets.benchmarks.aflw2000 import Aflw2000
from ..datasets.mat_files import read_variables
from ..datasets.photos.w300lp import raw_parameters
from ..errors import InputError
from ..geometry.crops import SIZE, flip_y
from ..geometry.projection import crop_vertices
from ..io.images import read_image_size
from ..morphable import MorphableModel
from .nme import normalized_mean_error

SPACES = ("2d", "3d")

_VARIABLES = {"Pose_Para": (1, 7), "Shape_Para": (None, 1), "Exp_Para": (None, 1)}
_BATCH = 16
# Beyond this share of the landmarks' box the parameters belong to another basis or another image.
_AGREEMENT = 0.05

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DenseTruth:
    """The true vertices of n images, computed when they are asked for.

    basis: N vertices. parameters: (n, 12+K) of the model in image space (y up); heights: (n,) of the images.
    landmarks: (n, 68, 2) image pixels, whose box normalizes. cut: mean NME, a fraction, of the vertices at
    the 68 landmarks against the annotated ones.
    """

    basis: twodasl_ext.MorphableBasis
    parameters: NDArray[np.float32]
    heights: NDArray[np.int64]
    landmarks: Floats
    cut: float

    def vertices(self, rows: NDArray[np.int64] | range) -> Floats:
        """(b, N, 3) image pixels (x, row, z) of the images `rows`."""
        index = np.asarray(rows)
        heights = torch.from_numpy(self.heights[index, None].astype(np.float32))
        return _vertices(self.basis, self.parameters[index], heights)

    def errors(self, rows: NDArray[np.int64] | range, vertices: NDArray[np.floating]) -> Floats:
        """NME fractions (b, 2), in 2D and in 3D, of predicted vertices (b, N, 3) in image pixels."""
        truth, box = self.vertices(rows), self.landmarks[np.asarray(rows)]
        found = [normalized_mean_error(vertices, truth, box_points=box, space=space) for space in SPACES]
        return np.stack(found, axis=1)

    def parameter_errors(self, parameters: NDArray[np.floating], data: Aflw2000) -> Floats:
        """NME fractions (n, 2) of the model's parameters (n, 12+K) in the crops of `data`, y up."""
        found = np.empty((len(data), len(SPACES)))
        for start in range(0, len(data), _BATCH):
            rows = range(start, min(start + _BATCH, len(data)))
            points = _vertices(self.basis, np.asarray(parameters[start : rows.stop], np.float32))
            placed = np.stack([data.crop(row).to_image(own) for row, own in zip(rows, points, strict=True)])
            found[start : rows.stop] = self.errors(rows, placed)
        return found


def read_dense_truth(data: Aflw2000, basis: RawBasis, model: MorphableModel) -> DenseTruth:
    """The true vertices in the topology of `model`, which must be of the data set's basis.

    Needs the data set's `.mat` files and images (for their height) beside each other. Raises InputError
    naming what is missing, when the model is of another basis, or when parameters and landmarks disagree.
    """
    if data.depth is None:
        raise InputError(f"{data.root}: the ground truth {data.truth_source} has landmarks only")
    conversion = basis.conversion(model)
    raw = np.empty((len(data), 12 + SHAPES + EXPRESSIONS))
    heights = np.empty(len(data), np.int64)
    for row, image in enumerate(data.images):
        raw[row] = raw_parameters(image, read_variables(image.with_suffix(".mat"), _VARIABLES))
        heights[row] = read_image_size(image)[1]
    landmarks = basis.landmarks(raw)
    landmarks[..., 1] = flip_y(landmarks[..., 1], heights[:, None].astype(np.float64))
    cut = float(normalized_mean_error(landmarks, data.truth).mean())
    if cut > _AGREEMENT:
        raise InputError(
            f"{data.root}: its parameters do not give its landmarks (NME {100 * cut:.1f} %); is this the"
            " basis that they belong to?"
        )
    return DenseTruth(model.basis(), conversion.parameters(raw), heights, data.truth, cut)


def _vertices(
    basis: twodasl_ext.MorphableBasis, parameters: NDArray[np.float32], size: int | torch.Tensor = SIZE
) -> Floats:
    return np.asarray(crop_vertices(basis, torch.from_numpy(parameters), size).double().numpy())
