"""The face model moved onto landmarks, a detector's and the network's own; its parameters are the prior."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor

import twodasl_ext
from twodasl_ext import CoefficientPrior, Contours, MorphableBasis, join_points

from ..errors import InputError
from ..geometry.crops import flip_y
from ..geometry.parameters import join_parameters, split_parameters
from ..geometry.pose import decompose_pose, pose_matrix
from ..geometry.projection import crop_landmarks
from ..morphable import MorphableModel
from ..training.priors import FitPriors
from .plausible import plausibility

SIGMA, OUTLINE_SIGMA = 1.25, 3.75
"""Standard deviation of a detector's landmark along either axis, in pixels of the crop; and of one on the
outline of the face, whose place along it is anybody's."""

SHAPE_OUTLINE_SIGMA = 1.9
"""That of the outline while the shape is sought: it says how wide a face is, and who it is not."""

# A standard deviation by which a shape coefficient is held, in those of the model.
_HELD = 1e-4

OUTLINE = range(17)
"""Those of the 68 points that lie on the outline of the face."""

LIPS = range(48, 68)
"""Those of the 68 points that lie on the lips."""

OWN_LIPS = 2.0
"""Times a network's own sigma of the lips where a detector has found them. A detector sees how far a mouth is
open; a network that is not sure says something between that and a shut one, in all of its points alike."""

_JAW, _INNER = slice(0, len(OUTLINE)), slice(len(OUTLINE), 68)
# The median of the squared length of a normal vector in the plane, in units of its variance along one axis.
_MEDIAN = 1.386
# Errors of one face are alike, so that this many times the expected square is not yet a contradiction.
_ALIKE = 4.0


class Points(NamedTuple):
    """Places (B, 68, 2) in crop pixels (x, row) and their standard deviations (B, 68). NaN: not seen."""

    places: Tensor
    sigma: Tensor


class LandmarkFit:
    """A face model and what is known of it before it is fitted to the 68 landmarks of faces.

    Pose and coefficients of the network are the prior, as wide as the network usually errs, see `FitPriors`;
    no coefficient is less sure than by the model's own spread. Points of the jaw may be any vertex of the
    outline, see `twodasl_ext.Contours`; of a model without one, whose landmarks do not lie as on an upright
    face, they are the landmarks' vertices.

    Args:
        model, basis: the face model, and its basis on the device on which faces are fitted.
        priors: of the network whose parameters will be given.
    """

    def __init__(self, model: MorphableModel, basis: MorphableBasis, priors: FitPriors | None = None) -> None:
        self.basis = basis
        self.priors = FitPriors() if priors is None else priors
        self.shape_count = len(model.shape_modes)
        self.spread = torch.from_numpy(model.coefficient_std).to(basis.device)
        fixed = torch.from_numpy(model.landmarks).to(basis.device)[:, None]
        self._candidates = Contours(fixed, basis.mean.new_zeros(len(fixed), 2))
        with suppress(InputError):
            self._candidates = outline_of(model, basis)
        self._candidates_and_own = followed_by(self._candidates, fixed[list(OUTLINE)])

    def __call__(
        self, parameters: Tensor, detected: Points | None = None, own: Points | None = None
    ) -> Tensor:
        """Fit faces (B, 12+K), as the network says them in the crop, to points of one source or of both.

        Inside the face the two are joined by their precisions. On the jaw they mean different places: a
        detector's points lie on the outline of the image, the network's on the model's own landmarks. A face
        without any point keeps the prior.

        A detector's outline is wide of the mark along the face, but says how wide the face is. So it is
        fitted to twice: first for the shape, with `SHAPE_OUTLINE_SIGMA`, then with that shape for pose and
        expression, with `OUTLINE_SIGMA`.

        Returns (B, 12+K).
        """
        if detected is None:
            return fitted_parameters(
                twodasl_ext.fit_landmarks(self.basis, **self.problem(parameters, None, own))
            )
        problem = self.problem(parameters, for_shape(detected), own)
        found = fitted_parameters(twodasl_ext.fit_landmarks(self.basis, **problem))
        again = self.with_shapes(found[:, 12 : 12 + self.shape_count], parameters, detected, own)
        seen = detected.sigma.isfinite().any(dim=1, keepdim=True)
        return torch.where(seen, again, found)

    def with_shapes(
        self, shapes: Tensor, parameters: Tensor, detected: Points | None = None, own: Points | None = None
    ) -> Tensor:
        """Fit pose and expression of faces whose shape coefficients (B, Ks) are known, see `__call__`."""
        fitted = fitted_parameters(self.held(shapes, parameters, detected, own))
        fitted[:, 12 : 12 + self.shape_count] = shapes
        return fitted

    def held(
        self, shapes: Tensor, parameters: Tensor, detected: Points | None = None, own: Points | None = None
    ) -> twodasl_ext.LandmarkFit:
        """The fit of faces whose shape coefficients (B, Ks) are known, but for a rounding."""
        problem, count = self.problem(parameters, detected, own), self.shape_count
        mean, precision = problem["prior"].mean.clone(), problem["prior"].precision.clone()
        mean[:, :count] = shapes
        precision[:, :count] = (_HELD * self.spread[:count]).square().reciprocal()
        problem["prior"] = CoefficientPrior(mean, precision)
        return twodasl_ext.fit_landmarks(self.basis, **problem)

    def problem(
        self,
        parameters: Tensor,
        detected: Points | None = None,
        own: Points | None = None,
        trust: Tensor | None = None,
    ) -> dict[str, Any]:
        """What `fit_landmarks` is given for faces, see `__call__`.

        trust: (K,) or (B, K), what the precision of the network's coefficients is multiplied by.
        """
        pose, coefficients = split_parameters(parameters, self.basis.mode_count)
        _, angles, _ = decompose_pose(pose)
        places, sigma = _rows(detected, own)
        said = self.priors.coefficient_sigma(self.spread)
        if trust is not None:
            said = said / trust.sqrt()
        prior = CoefficientPrior.of_deviations(said.expand_as(coefficients), coefficients)
        return {
            "points": upright(places).to(parameters),
            "sigma": sigma.to(parameters),
            "start": start_pose(parameters),
            "pose_sigma": self.priors.pose_sigma(angles[:, 1]),
            "prior": prior.joined(self._model_prior(said)),
            "contours": self._candidates if own is None else self._candidates_and_own,
        }

    def _model_prior(self, said: Tensor) -> CoefficientPrior:
        """What the model's spread adds to a network that errs by `said`, (K,) or (B, K).

        A network's answer is an expectation, which knows the spread already: to count it again would draw
        every face toward the mean. It counts where the network errs more than the mean would, as far as it
        takes for both together to be as wide as the model.
        """
        left = (self.spread.square().reciprocal() - said.square().reciprocal()).clamp_min(0.0)
        return CoefficientPrior.of_deviations(left.rsqrt())

    def own(self, points: Tensor, sigma: Tensor) -> Points:
        """A network's own points as a source, its sigma as wide as it usually errs."""
        return Points(points, sigma * self.priors.points)

    def trusted(self, detected: Tensor, parameters: Tensor, own: Points | None) -> tuple[Points, Tensor]:
        """A detector's landmarks as a source, with as much trust as the network without them gives them.

        A detector does not say when it is wrong. Where its points are further from the network's own than
        both can err, theirs is the error: sigma grows until they agree. A network whose answer is no face
        has nothing to say against them.

        Args:
            detected: (B, 68, 2) crop pixels; NaN where nothing was detected.
            parameters: (B, 12+K), of the network that did not see them.
            own: its own points where it has some.

        Returns:
            the source, and (B,) the factor of its sigma, 1 where the detector is believed.
        """
        seen = detected.isfinite().all(dim=-1)
        expected = self.expected(parameters) if own is None else own
        square = (detected - expected.places).square().sum(dim=2)
        usual = detector_sigma(detected)
        relative = torch.where(seen, square / (expected.sigma.square() + usual.square()), torch.nan)
        # The jaw's points slide along the outline; the others say where the face is.
        middle = relative[:, _INNER].nanmedian(dim=1).values / _MEDIAN
        known = plausibility(parameters, crop_landmarks(self.basis, parameters)).good
        middle = torch.where(known, middle, 0.0)
        factor = torch.where(
            middle > _ALIKE, (middle / _ALIKE) * (square.nanmedian(dim=1).values).sqrt(), 1.0
        )
        factor = factor.clamp_min(1.0)
        if own is None:
            # Wrong landmarks err together, and the prior alone is against them: all of them count as one.
            factor = torch.where(factor > 1, factor * seen.sum(dim=1).sqrt(), factor)
        return Points(detected, torch.where(seen, usual * factor[:, None], torch.inf)), factor

    def expected(self, parameters: Tensor) -> Points:
        """Where a network without points of its own puts the landmarks, and how far off that may be."""
        marks = crop_landmarks(self.basis, parameters)[..., :2]
        _, angles, _ = decompose_pose(split_parameters(parameters, self.basis.mode_count)[0])
        turn, _, _, growth, shift, _, _ = self.priors.pose_sigma(angles[:, 1]).T
        # A turn and a growth move points by that share of their distance from the middle, about.
        reach = (marks - marks.mean(dim=1, keepdim=True)).norm(dim=2).mean(dim=1)
        sigma = (shift.square() + (turn.square() + growth.square()) * reach.square()).sqrt()
        return Points(marks, sigma[:, None].expand(marks.shape[:2]))


def for_shape(detected: Points) -> Points:
    """A detector's landmarks as a source of the shape, see `SHAPE_OUTLINE_SIGMA`."""
    sigma = detected.sigma.clone()
    sigma[:, list(OUTLINE)] *= SHAPE_OUTLINE_SIGMA / OUTLINE_SIGMA
    return Points(detected.places, sigma)


def detector_sigma(points: Tensor) -> Tensor:
    """(68,) standard deviations of a detector's landmarks (..., 68, 2), of their type."""
    sigma = torch.full((68,), SIGMA, dtype=points.dtype, device=points.device)
    sigma[list(OUTLINE)] = OUTLINE_SIGMA
    return sigma


def _rows(detected: Points | None, own: Points | None) -> tuple[Tensor, Tensor]:
    """The points (B, 68, 2) of one source, or those of both and the network's jaw (B, 85, 2); their sigma."""
    source = detected or own
    assert source is not None
    if own is None:
        return source
    if detected is None:
        jaw = torch.full_like(own.sigma[:, _JAW], torch.inf)
        places, sigma = own.places, torch.cat([jaw, own.sigma[:, _INNER]], dim=1)
    else:
        doubted = Points(own.places, own.sigma.clone())
        seen = detected.sigma.isfinite() & detected.places.isfinite().all(-1)
        doubted.sigma[:, list(LIPS)] *= torch.where(seen[:, list(LIPS)], OWN_LIPS, 1.0)
        inner = [(s.places[:, _INNER].to(own.places), s.sigma[:, _INNER]) for s in (detected, doubted)]
        joined, joined_sigma = join_points(*zip(*inner, strict=True))
        places = torch.cat([detected.places[:, _JAW].to(own.places), joined], dim=1)
        sigma = torch.cat([detected.sigma[:, _JAW].to(own.sigma), joined_sigma], dim=1)
    return (
        torch.cat([places, own.places[:, _JAW]], dim=1),
        torch.cat([sigma, own.sigma[:, _JAW]], dim=1),
    )


def followed_by(candidates: Contours, fixed: Tensor) -> Contours:
    """Candidates with further points, each at one vertex (L, 1)."""
    rows = candidates.candidates
    more = torch.full((len(fixed), rows.shape[1]), -1, dtype=rows.dtype, device=rows.device)
    more[:, :1] = fixed
    outward = candidates.outward.new_zeros(len(fixed), 2)
    return Contours(torch.cat([rows, more]), torch.cat([candidates.outward, outward]))


def fitted_parameters(fit: twodasl_ext.LandmarkFit) -> Tensor:
    """(B, 12+K) of a fit."""
    return join_parameters(fit.pose, fit.coefficients)


def model_spread(model: MorphableModel, basis: MorphableBasis) -> CoefficientPrior:
    """What is known of a face's coefficients before anything is seen of it."""
    return CoefficientPrior.of_deviations(torch.from_numpy(model.coefficient_std).to(basis.device))


def outline_of(model: MorphableModel, basis: MorphableBasis) -> Contours:
    """The model's 68 landmarks, those of the jaw anywhere on the outline. InputError where there is none."""
    try:
        return Contours.of_outline(basis, OUTLINE)
    except ValueError as error:
        raise InputError(f"fit: the face model {model.name!r} has no outline ({error})") from error


def start_pose(parameters: Tensor) -> Tensor:
    """The pose (B, 3, 4) nearest to that of parameters (B, 12+K) that is a rotation times a scale.

    A fit keeps the form of the matrix that it starts from.
    """
    pose, _ = split_parameters(parameters)
    return pose_matrix(*decompose_pose(pose))


def upright(points: Tensor) -> Tensor:
    """Crop pixels (..., 2), rows downward, to the space of parameters, where y points up."""
    return torch.stack([points[..., 0], flip_y(points[..., 1])], dim=-1)
