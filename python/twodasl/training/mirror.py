"""Horizontal mirroring of a batch: image, landmarks, visibility, yaw and, for a symmetric model, parameters.

A face mirrored in the image is the face model's mirrored shape under a mirrored camera. With
X = diag(-1, 1, 1) and p(n) the vertex opposite to n, a model is symmetric where X mean_p(n) = mean_n, and
where mirroring a mode gives a combination of modes: X m_j,p(n) = sum_k F_jk m_k,n (for a model of symmetric
modes and of pairs left/right, F is a signed permutation). Then a face of camera `[M | t]` and coefficients c
in a crop of W pixels becomes exactly that of `[X M X | W - 1 - t_x, t_y, t_z]` and `c F`: every vertex lands
on the mirrored image of its opposite. A model made of scans is not symmetric: its faces with parameters are
not mirrored.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twodasl_ext import nearest_neighbors

from ..geometry.crops import SIZE
from ..landmarks import FLIPS, flip_landmarks
from ..morphable import MorphableModel
from .streams import Batch

TOLERANCE = 0.02
"""Millimeters by which the mean, and modes of one standard deviation, may miss their mirror image."""

_AXIS = np.array([-1.0, 1.0, 1.0])


def mirror_map(model: MorphableModel) -> Tensor | None:
    """F (K, K) float64 of a symmetric model, see above; None where it is not symmetric to `TOLERANCE`."""
    mean = model.mean.astype(np.float64)
    square, nearest = nearest_neighbors(torch.from_numpy(mean * _AXIS)[None], torch.from_numpy(mean)[None])
    opposite = nearest[0].numpy()
    if float(square.max()) > TOLERANCE**2 or not np.array_equal(opposite[opposite], np.arange(len(mean))):
        return None
    if not np.array_equal(opposite[model.landmarks], model.landmarks[list(FLIPS[68])]):
        return None
    scaled = model.modes.astype(np.float64) * model.coefficient_std[:, None, None]
    modes = scaled.reshape(len(scaled), -1)
    mirrored = (scaled[:, opposite] * _AXIS).reshape(len(scaled), -1)
    # In units of standard deviations the modes are of like size, so that the normal equations are tame.
    combination = np.linalg.lstsq(modes @ modes.T, modes @ mirrored.T, rcond=None)[0].T
    rest = (mirrored - combination @ modes).reshape(len(modes), -1, 3)
    if len(rest) and np.linalg.norm(rest, axis=2).max() > TOLERANCE:
        return None
    spread = model.coefficient_std.astype(np.float64)
    return torch.from_numpy(combination * spread[None, :] / spread[:, None])


def mirror_parameters(parameters: Tensor, mirror: Tensor) -> Tensor:
    """Parameters (B, 12+K) of the mirrored crops, by the `mirror_map` of their model."""
    pose = parameters[:, :12].double().reshape(-1, 3, 4)
    axis = torch.from_numpy(_AXIS)
    linear = axis[:, None] * pose[..., :3] * axis
    shift = torch.stack([SIZE - 1 - pose[:, 0, 3], pose[:, 1, 3], pose[:, 2, 3]], dim=-1)
    coefficients = parameters[:, 12:].double() @ mirror
    camera = torch.cat([linear, shift[..., None]], dim=-1)
    return torch.cat([camera.reshape(-1, 12), coefficients], dim=1).to(parameters.dtype)


def mirror_batch(batch: Batch, rows: NDArray[np.bool_], mirror: Tensor | None) -> Batch:
    """The batch with the faces of `rows` (B,) mirrored; as it is if it has parameters and no `mirror`."""
    if not rows.any() or ("parameters" in batch and mirror is None):
        return batch
    chosen = torch.from_numpy(np.flatnonzero(rows))
    changed = {key: values.clone() for key, values in batch.items()}
    changed["image"][chosen] = batch["image"][chosen].flip(2)
    changed["landmarks"][chosen] = flip_landmarks(batch["landmarks"][chosen], SIZE)
    order = list(FLIPS[batch["visible"].shape[1]])
    changed["visible"][chosen] = batch["visible"][chosen][:, order]
    if "yaw" in batch:
        changed["yaw"][chosen] = -batch["yaw"][chosen]
    if mirror is not None and "parameters" in batch:
        changed["parameters"][chosen] = mirror_parameters(batch["parameters"][chosen], mirror)
    return changed
