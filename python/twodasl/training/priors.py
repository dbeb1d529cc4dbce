"""How far a network usually is from the truth: what a fit to landmarks may take its predictions for.

Measured on faces whose parameters are known, with blank landmark maps, and kept with the weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from twodasl_ext import MorphableBasis

from ..errors import InputError
from ..geometry.parameters import split_parameters
from ..geometry.pose import decompose_pose, matrix_from_angles
from ..geometry.projection import crop_landmarks
from ..morphable import Whitening
from ..networks import split_output
from ..networks.inputs import network_input
from .streams import FaceDataset, read, stack

_BATCH = 64
# Degrees of |yaw| in the middle of the three bins that the field reports; in between, linear.
_MIDDLES = (15.0, 45.0, 75.0)
# A few faces that are wholly wrong say nothing of the others: their squares count no more than this many
# times the median's.
_OUTLYING = 25.0
_OF_POSE = ("turn", "growth", "shift")
# In standard deviations of the model: a network that knows a coefficient better is not believed.
_SUREST = 0.3
# What a standard deviation may be, so that neither it nor its square is zero or infinite in float32.
_LEAST, _MOST = 1e-6, 1e6

PHOTOS = 1.6
"""Times what a network errs on rendered faces: what it errs on photos, in pose and points. On AFLW's, whose
parameters were fitted, a network of ours turned 1.8 times as far, grew 1.4, shifted 1.2 times as far, and its
sigma had to be multiplied by 1.7 times as much."""


@dataclass(frozen=True)
class FitPriors:
    """Standard deviations of a network's errors; those of one that nothing is known of, unless given.

    Attributes:
        turn, growth, shift: of the pose, at |yaw| = 15, 45 and 75 degrees: radians about each axis, relative
            scale, crop pixels along each axis.
        coefficients: (K,) in standard deviations of the face model; empty: one for all.
        points: what the network's own sigma of its points must be multiplied by.
    """

    turn: tuple[float, ...] = (0.3, 0.3, 0.3)
    growth: tuple[float, ...] = (0.2, 0.2, 0.2)
    shift: tuple[float, ...] = (10.0, 10.0, 10.0)
    coefficients: tuple[float, ...] = ()
    points: float = 1.0

    def pose_sigma(self, yaw: Tensor) -> Tensor:
        """(B, 7) as `twodasl_ext.fit_landmarks` takes it, for predicted yaws (B,) in radians."""
        degrees = np.degrees(yaw.detach().abs().double().cpu().numpy())
        columns = [np.interp(degrees, _MIDDLES, row) for row in (self.turn, self.growth, self.shift)]
        turn, growth, shift = (torch.from_numpy(column).to(yaw) for column in columns)
        return torch.stack([turn, turn, turn, growth, shift, shift, shift], dim=1)

    def coefficient_sigma(self, spread: Tensor) -> Tensor:
        """(K,) standard deviations of the coefficients' errors, for the model's spread (K,)."""
        if not self.coefficients:
            return spread
        return spread * torch.tensor(self.coefficients, dtype=spread.dtype, device=spread.device)

    def widened(self, factor: float) -> FitPriors:
        """The same with pose and points so many times as uncertain."""
        rows = {name: tuple(factor * number for number in getattr(self, name)) for name in _OF_POSE}
        return replace(self, **rows, points=factor * self.points)

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists of them."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Any, modes: int, where: str) -> FitPriors:
        """Raises InputError, beginning with `where`, when these are not `modes` coefficients' priors."""
        names = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or values.keys() != names:
            raise InputError(f"{where}: priors: expected {', '.join(sorted(names))}")
        lengths = {"turn": (3,), "growth": (3,), "shift": (3,), "coefficients": (0, modes)}
        for name, allowed in lengths.items():
            row = values[name]
            if not (isinstance(row, Sequence) and len(row) in allowed and all(map(_is_deviation, row))):
                count = " or ".join(map(str, allowed))
                raise InputError(
                    f"{where}: priors.{name}: expected {count} numbers from {_LEAST:g} to {_MOST:g}"
                )
        if not _is_deviation(values["points"]):
            raise InputError(f"{where}: priors.points: expected a number from {_LEAST:g} to {_MOST:g}")
        rows = {name: tuple(float(number) for number in values[name]) for name in lengths}
        return cls(**rows, points=float(values["points"]))


def _is_deviation(value: Any) -> bool:
    return type(value) in (int, float) and _LEAST <= value <= _MOST


@torch.inference_mode()
def measure_priors(
    regressor: nn.Module, whitening: Whitening, basis: MorphableBasis, spread: Tensor, faces: FaceDataset
) -> FitPriors:
    """The priors of a network, from faces with parameters that it was not trained on, or hardly.

    Args:
        regressor: in evaluation mode, on the CPU, as are whitening and basis.
        spread: (K,) the face model's standard deviations.
        faces: some hundreds at least, of every yaw.

    Raises InputError where there are none, or where the network gives NaN or infinity.
    """
    if not len(faces):
        raise InputError("priors: expected faces to measure the network's errors on, got none")
    truth, found, points, sigma = _predictions(regressor, whitening, faces)
    pose, true_pose = (decompose_pose(split_parameters(p)[0].double()) for p in (found, truth))
    turns = _turn(*(matrix_from_angles(*p[1].unbind(-1)) for p in (true_pose, pose)))
    growth = (true_pose[0] / pose[0]).log().square()
    shift = _centers(basis, truth) - _centers(basis, found)
    bins = np.digitize(np.degrees(pose[1][:, 1].abs().numpy()), (30.0, 60.0))
    errors = (turns.square().mean(1), growth, shift.square().mean(1))
    rows = [tuple(_rms(e[torch.from_numpy(bins == b)], e) for b in range(3)) for e in errors]
    off = (truth[:, 12:] - found[:, 12:]) / spread
    coefficients = tuple(max(_SUREST, _rms(column, column)) for column in off.square().T)
    factor = 1.0
    if points.shape[1]:
        square = (crop_landmarks(basis, truth)[..., :2] - points).square().mean(2) / sigma.square()
        factor = _rms(square.mean(1), square.mean(1))
    return FitPriors(rows[0], rows[1], rows[2], coefficients, factor)


def _predictions(
    regressor: nn.Module, whitening: Whitening, faces: FaceDataset
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    columns = []
    for start in range(0, len(faces), _BATCH):
        part = stack(read(faces, range(start, min(start + _BATCH, len(faces)))))
        blank = torch.full((len(part["image"]), 18, 2), torch.nan)
        output = split_output(regressor(network_input(part["image"], blank)), len(whitening.mean))
        if not all(bool(torch.isfinite(values).all()) for values in output):
            raise InputError("priors: the network gives NaN or infinity; take an earlier checkpoint")
        found = whitening.unwhiten(output.whitened)
        columns.append((part["parameters"], found, output.points, output.sigma))
    truth, found, points, sigma = (torch.cat(column) for column in zip(*columns, strict=True))
    return truth, found, points, sigma


def _turn(truth: Tensor, found: Tensor) -> Tensor:
    """(B, 3) the rotation vectors from one rotation (B, 3, 3) to the other; exact for small ones."""
    between = truth @ found.mT
    skew = (between - between.mT) / 2
    axis = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], dim=1)
    sine = axis.norm(dim=1, keepdim=True)
    cosine = (between.diagonal(dim1=1, dim2=2).sum(1, keepdim=True) - 1) / 2
    return axis * torch.atan2(sine, cosine) / sine.clamp_min(1e-12)


def _centers(basis: MorphableBasis, parameters: Tensor) -> Tensor:
    """(B, 2) where the middle of the mean shape's landmarks lies, crop pixels."""
    mean = parameters.clone()
    mean[:, 12:] = 0
    return crop_landmarks(basis, mean)[..., :2].mean(dim=1)


def _rms(squares: Tensor, otherwise: Tensor) -> float:
    """The root of their mean without outlying ones; of few, that of all."""
    used = squares if len(squares) >= 10 else otherwise
    found = math.sqrt(float(used.clamp_max(_OUTLYING * used.median()).mean()))
    return min(max(found, _LEAST), _MOST)
