"""The face model fitted to whatever points a photo has annotated, about a network's prediction of it."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

import twodasl_ext
from twodasl_ext import CoefficientPrior, Contours, MorphableBasis

from ..geometry.parameters import join_parameters, split_parameters
from ..landmarks import TWENTY_ONE_NAMES
from ..landmarks.weights import weights_from_68
from ..morphable import MorphableModel
from .landmark_fit import OUTLINE, Points, followed_by, model_spread, outline_of, start_pose, upright

SIGMA = 1.0
"""Standard deviation of an annotated point along either axis, in pixels of the crop."""

OUTLINE_SIGMA = 3.0
"""Times a point's standard deviation: that of one on the outline, along which annotators slide them."""

OWN_SIGMA = 1.5
"""Times what a network says of its own points: their errors are not independent of each other."""

# With fewer points the pose stays near the network's: turn in radians, relative growth, shift in crop pixels.
_MANY = 30
_POSE_SIGMA = (0.10, 0.10, 0.10, 0.05, 4.0, 4.0, 4.0)
# How far a network's coefficients may be off, in standard deviations of the model.
_PREDICTION = 1.0
_HUBER = 2.0


class FittedPoints(NamedTuple):
    """What a fit found.

    Attributes:
        parameters: (B, 12+K).
        deviations: (B, 7+K) standard deviations: turn about x, y, z (radians), growth, shift (pixels), and
            coefficients.
        residual: (B,) root mean square of the way from the given points to the model's, crop pixels; those on
            the outline, which are less precise, weigh less.
    """

    parameters: Tensor
    deviations: Tensor
    residual: Tensor


class PointFit:
    """A face model to be fitted to 68 points, AFLW's 21 or the 18.

    Each point of the 21 and the 18 is a mean of some of the model's landmarks; ears are those that the model
    names, or not used. Of the 68, those of the jaw may be any vertex of the outline.

    Args:
        model, basis: the face model, and its basis on the device on which faces are fitted.
        sigma: standard deviation of a point inside the face, crop pixels.

    Raises InputError where the model has no outline, see `outline_of`.
    """

    def __init__(self, model: MorphableModel, basis: MorphableBasis, sigma: float = SIGMA) -> None:
        self.model, self.basis, self.sigma = model, basis, sigma
        self._spread = model_spread(model, basis)
        self._outline = outline_of(model, basis)
        self._std = torch.from_numpy(model.coefficient_std).to(basis.device)
        self._means = cache(self._means_of)
        self._contours = cache(self._contours_of)

    def __call__(self, parameters: Tensor, points: Tensor, own: Points | None = None) -> FittedPoints:
        """Fit a batch.

        Args:
            parameters: (B, 12+K), a network's: where the fit starts, and its prior.
            points: (B, L, 2) crop pixels, L = 68, 21 or 18; NaN where there is none.
            own: the network's own points, as a second source: of what is not annotated, and of the outline.
        """
        count = points.shape[1]
        sigma = self._sigma(points)
        places = [points.to(parameters)]
        sigmas = [sigma]
        seen = sigma.isfinite() & points.isfinite().all(-1)
        if own is not None:
            places.append(own.places.to(parameters))
            sigmas.append(_own_sigma(own, seen).to(parameters))
        _, predicted = split_parameters(parameters, self.basis.mode_count)
        prior = CoefficientPrior.of_deviations((_PREDICTION * self._std).expand_as(predicted), predicted)
        found = twodasl_ext.fit_landmarks(
            self.basis,
            upright(torch.cat(places, 1)),
            torch.cat(sigmas, 1),
            start=start_pose(parameters),
            pose_sigma=self._pose_sigma(seen),
            prior=prior.joined(self._spread),
            vertices=None if count == 68 else self._means(count, own is not None)[0],
            contours=self._contours(own is not None) if count == 68 else None,
            robust=_HUBER,
        )
        shares = torch.where(seen, sigma.square().reciprocal(), 0)
        squares = (shares * found.residuals[:, :count].square().sum(-1)).sum(1)
        return FittedPoints(
            join_parameters(found.pose, found.coefficients),
            torch.cat([found.pose_deviations, found.coefficient_deviations], 1),
            (squares / shares.sum(1)).sqrt(),
        )

    def _sigma(self, points: Tensor) -> Tensor:
        """(B, L), infinite where the model has no such point."""
        count = points.shape[1]
        sigma = torch.full((count,), self.sigma, dtype=torch.float32, device=self.basis.device)
        if count == 68:
            sigma[list(OUTLINE)] *= OUTLINE_SIGMA
        else:
            sigma[~self._means(count, False)[1]] = torch.inf
        return sigma.expand(len(points), -1)

    def _pose_sigma(self, seen: Tensor) -> Tensor:
        """(B, 7): free where many points are seen (B, L)."""
        many = (seen.sum(1) >= _MANY)[:, None]
        near = torch.tensor(_POSE_SIGMA, dtype=torch.float32, device=seen.device)
        return torch.where(many, torch.inf, near)

    def _means_of(self, count: int, own: bool) -> tuple[Tensor, Tensor]:
        """Weights (L, N) of the points, and of the 68 landmarks after them; whether each is known (L,)."""
        marks = torch.from_numpy(self.model.landmarks)
        schemes = [
            torch.from_numpy(weights_from_68(size)).float() for size in ((count, 68) if own else (count,))
        ]
        of_marks = torch.cat(schemes)
        known = of_marks.isfinite().all(1)
        # A row must sum to 1 also where its point is not used.
        of_marks[~known] = torch.eye(68, dtype=torch.float32)[:1]
        weights = torch.zeros(len(of_marks), self.basis.vertex_count, dtype=torch.float32)
        weights.index_add_(1, marks, of_marks)
        for name, vertex in self.model.named_landmarks.items():
            if count == 21 and name.startswith("ear_"):
                row = TWENTY_ONE_NAMES.index(name)
                weights[row], known[row] = 0, True
                weights[row, vertex] = 1
        return weights.to(self.basis.device), known.to(self.basis.device)

    def _contours_of(self, own: bool) -> Contours:
        """The outline, and the 68 landmarks after it, each where it is on the model."""
        if not own:
            return self._outline
        return followed_by(self._outline, self._outline.candidates[:, :1])


def _own_sigma(own: Points, seen: Tensor) -> Tensor:
    """(B, 68) of a network's own points, infinite where the same landmark is annotated, `seen` (B, L).

    The fit is what the network will learn from: where it may contradict an annotated point, a mouth that it
    always saw shut stays half shut. Points on the outline mean other places than its own.
    """
    sigma = OWN_SIGMA * own.sigma
    if seen.shape[1] != sigma.shape[1]:
        return sigma
    inside = seen.clone()
    inside[:, list(OUTLINE)] = False
    return sigma.masked_fill(inside, torch.inf)
