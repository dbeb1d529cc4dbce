"""3D annotation of photos that have some points: the face model fitted to them about a network's answer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..geometry.projection import crop_landmarks
from .face_network import FaceNetwork
from .fit_quality import Limits, quality_of, reasons
from .landmark_fit import Points
from .plausible import plausibility
from .point_fit import SIGMA, PointFit

NO_FACE = "the network's answer is no face"
FEW_POINTS = "it has no points to fit to"


class Annotated(NamedTuple):
    """Of B photos.

    Attributes:
        parameters: (B, 12+K); not finite or of no use where there is a reason.
        deviations: (B, 7+K) standard deviations, see `FittedPoints`.
        residual: (B,) crop pixels.
        reasons: why each is to be left out; "" where it is good.
    """

    parameters: Tensor
    deviations: Tensor
    residual: Tensor
    reasons: list[str]


class Annotator:
    """A trained network and its face model, which is fitted to annotated points.

    Args:
        network: with its face model.
        sigma: standard deviation of annotated points, crop pixels.
        limits: which fits are left out.
    """

    def __init__(self, network: FaceNetwork, sigma: float = SIGMA, limits: Limits | None = None) -> None:
        self.network, self.model, self.basis = network, network.model, network.basis
        self.sigma, self.limits = sigma, limits or Limits()
        self._fit = PointFit(self.model, self.basis, sigma)
        self._std = torch.from_numpy(self.model.coefficient_std).to(self.basis.device)

    @torch.inference_mode()
    def __call__(self, images: Tensor, observed: Tensor, points: Tensor) -> Annotated:
        """Annotate a batch.

        Args:
            images: (B, 120, 120, 3) uint8 BGR crops.
            observed: (B, 18, 2) crop pixels, the points that the network's landmark map shows; NaN for none.
            points: (B, L, 2) crop pixels, those to fit to, L = 68, 21 or 18; NaN for none.

        Raises InputError where the network answers NaN or infinity.
        """
        said = self.network.crops(images, observed)
        predicted, count = said.parameters, len(said.parameters)
        own = Points(said.points, said.sigma) if self.network.has_points else None
        points = points.to(predicted)
        good = plausibility(predicted, said.landmarks).good
        seen = points.isfinite().all(-1).any(1)
        rows = torch.nonzero(good & seen)[:, 0]
        words = [
            "" if fine and some else FEW_POINTS if fine else NO_FACE
            for fine, some in zip(good, seen, strict=True)
        ]
        parameters = predicted.new_full(predicted.shape, torch.nan)
        deviations = predicted.new_full((count, 7 + self.basis.mode_count), torch.nan)
        residual = predicted.new_full((count,), torch.nan)
        if len(rows):
            part = None if own is None else Points(own.places[rows], own.sigma[rows])
            fit = self._fit(predicted[rows], points[rows], part)
            parameters[rows], deviations[rows], residual[rows] = fit
            quality = quality_of(fit, predicted[rows], self._std, crop_landmarks(self.basis, fit.parameters))
            for row, reason in zip(rows.tolist(), reasons(quality, self.limits), strict=True):
                words[row] = reason
        return Annotated(parameters, deviations, residual, words)
