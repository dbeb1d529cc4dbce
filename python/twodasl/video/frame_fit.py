"""One frame's fit of the face model, about what the frames before it lead to expect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

import twodasl_ext
from twodasl_ext import CoefficientPrior, MorphableBasis

from ..morphable import MorphableModel

Doubles = NDArray[np.float64]

_HUBER = 2.0


@dataclass(frozen=True)
class Expected:
    """What is known of a face before its frame, in the frame's pixels with y up.

    Attributes:
        pose: (3, 4). deviations: (7,) of it, see `twodasl_ext.fit_landmarks`.
        mean: (K,) coefficients. precision: (K, K).
    """

    pose: Doubles
    deviations: Doubles
    mean: Doubles
    precision: Doubles


@dataclass(frozen=True)
class Seen:
    """The 68 points of a face in its frame: places (68, 2) with y up, and their deviations (68,)."""

    places: Doubles
    sigma: Doubles


@dataclass(frozen=True)
class Fitted:
    """What a fit found.

    Attributes:
        pose: (3, 4). deviations: (7,). coefficients: (K,).
        information: (K, K), what the points say of the coefficients, whatever the pose.
        residual: root mean square of the way from the points to the model's, pixels of the frame.
    """

    pose: Doubles
    deviations: Doubles
    coefficients: Doubles
    information: Doubles
    residual: float


class FrameFit:
    """A face model to be fitted to the 68 points of faces in frames.

    Args:
        model, basis: the face model, and its basis on the device on which faces are fitted.
    """

    def __init__(self, model: MorphableModel, basis: MorphableBasis) -> None:
        self.basis = basis
        self.mean = np.asarray(model.mean[model.landmarks], np.float64)
        self.modes = np.asarray(model.modes[:, model.landmarks], np.float64)
        self.middle = self.mean.mean(axis=0)

    def __call__(self, expected: list[Expected], seen: list[Seen]) -> list[Fitted]:
        """Fit faces, one of each list a face."""
        if not expected:
            return []
        prior = CoefficientPrior(
            self._rows([e.mean for e in expected]), self._rows([e.precision for e in expected])
        )
        found = twodasl_ext.fit_landmarks(
            self.basis,
            self._rows([s.places for s in seen]),
            self._rows([s.sigma for s in seen]),
            start=self._rows([e.pose for e in expected]),
            pose_sigma=self._rows([e.deviations for e in expected]),
            prior=prior,
            robust=_HUBER,
        )
        names = ("pose", "pose_deviations", "coefficients", "residuals")
        columns = [getattr(found, name).double().cpu().numpy() for name in names]
        return [self._fitted(*parts) for parts in zip(*columns, expected, seen, strict=True)]

    def landmarks(self, pose: Doubles, coefficients: Doubles) -> Doubles:
        """(68, 3) of a face, y up."""
        return self.shape(coefficients) @ pose[:, :3].T + pose[:, 3]

    def shape(self, coefficients: Doubles) -> Doubles:
        """(68, 3) millimeters."""
        return np.asarray(self.mean + np.einsum("k,klc->lc", coefficients, self.modes))

    def _rows(self, values: list[Doubles]) -> torch.Tensor:
        return torch.from_numpy(np.stack(values)).to(self.basis.device, torch.float32)

    def _fitted(
        self,
        pose: Doubles,
        deviations: Doubles,
        coefficients: Doubles,
        residuals: Doubles,
        expected: Expected,
        seen: Seen,
    ) -> Fitted:
        linear = pose[:, :3]
        arms = self.shape(coefficients) @ linear.T - self.middle @ linear.T
        weight = _weights(residuals, seen.sigma)
        by_pose = _pose_columns(arms)
        by_coefficient = np.einsum("ij,klj->lik", linear[:2], self.modes).reshape(-1, len(self.modes))
        rows = np.sqrt(np.repeat(weight, 2))[:, None]
        by_pose, by_coefficient = by_pose * rows, by_coefficient * rows
        # The depth of the center is not seen.
        known = np.diag(1 / np.square(np.maximum(expected.deviations[:6], 1e-9)))
        both = by_pose.T @ by_coefficient
        information = by_coefficient.T @ by_coefficient
        information -= both.T @ np.linalg.solve(by_pose.T @ by_pose + known, both)
        residual = float(np.sqrt(np.square(residuals).sum(axis=1).mean()))
        return Fitted(pose, deviations, coefficients, (information + information.T) / 2, residual)


def _weights(residuals: Doubles, sigma: Doubles) -> Doubles:
    """(68,) Huber's weights over the variances."""
    length = np.linalg.norm(residuals, axis=1) / sigma
    return np.asarray(np.minimum(1.0, _HUBER / np.maximum(length, 1e-9)) / np.square(sigma))


def _pose_columns(arms: Doubles) -> Doubles:
    """(136, 6): how points at `arms` (68, 3) from the center move with turn, growth and shift."""
    x, y, z = arms.T
    none, one = np.zeros_like(x), np.ones_like(x)
    across = np.stack([none, z, -y, x, one, none], axis=1)
    along = np.stack([-z, none, x, y, none, one], axis=1)
    return np.stack([across, along], axis=1).reshape(-1, 6)
