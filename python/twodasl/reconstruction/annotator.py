"""3D annotation of photos that have some points: the face model fitted to them about a network's answer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError
from ..geometry.projection import crop_landmarks
from ..networks.inputs import network_input
from ..networks.outputs import split_output
from .fit_quality import Limits, quality_of, reasons
from .landmark_fit import SIGMA
from .plausible import plausibility
from .point_fit import OwnPoints, PointFit
from .reconstructor import FaceReconstructor

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
        reconstructor: holds the network, in evaluation mode, and the face model.
        sigma: standard deviation of annotated points, crop pixels.
        limits: which fits are left out.
    """

    def __init__(
        self, reconstructor: FaceReconstructor, sigma: float = SIGMA, limits: Limits | None = None
    ) -> None:
        self.network, self.model, self.basis = reconstructor, reconstructor.model, reconstructor.basis
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
        predicted, own = self._regress(images, observed)
        count = len(predicted)
        marks = crop_landmarks(self.basis, predicted)
        points = points.to(predicted)
        good = plausibility(predicted, marks).good
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
            part = None if own is None else OwnPoints(own.places[rows], own.sigma[rows])
            fit = self._fit(predicted[rows], points[rows], part)
            parameters[rows], deviations[rows], residual[rows] = fit
            quality = quality_of(fit, predicted[rows], self._std, crop_landmarks(self.basis, fit.parameters))
            for row, reason in zip(rows.tolist(), reasons(quality, self.limits), strict=True):
                words[row] = reason
        return Annotated(parameters, deviations, residual, words)

    def _regress(self, images: Tensor, observed: Tensor) -> tuple[Tensor, OwnPoints | None]:
        """The network's parameters (B, 12+K) and, where it has them, its own points."""
        if not self.network.sees_landmarks:
            observed = torch.full_like(observed, torch.nan)
        device = self.basis.device
        output = self.network.regressor(network_input(images.to(device), observed.to(device)))
        split = split_output(output, len(self.network.whitening.mean))
        parameters = self.network.whitening.unwhiten(split.whitened)
        if not bool(torch.isfinite(output).all() & torch.isfinite(parameters).all()):
            raise InputError(
                f"{self.network.checkpoint}: its network gives NaN or infinity; take an earlier checkpoint"
            )
        own = OwnPoints(split.points, split.sigma) if split.points.shape[1] == 68 else None
        return parameters, own
