"""Moving the face model onto landmarks: pose and coefficients fitted to them, in place of the network's."""

from __future__ import annotations

import torch
from torch import Tensor

import twodasl_ext
from twodasl_ext import CoefficientPrior, Contours, MorphableBasis

from ..errors import InputError
from ..geometry.crops import flip_y
from ..geometry.parameters import join_parameters, split_parameters
from ..geometry.pose import decompose_pose, pose_matrix
from ..morphable import MorphableModel

SIGMA = 1.0
"""Standard deviation of a landmark, in pixels of the crop."""

OUTLINE = range(17)
"""Those of the 68 points that lie on the outline of the face."""


class LandmarkFit:
    """A face model and what is known of it before it is fitted to the 68 landmarks of faces.

    The coefficients have the model's own spread as their prior, the pose has none: it starts at the network's
    and follows the landmarks. So the result is as good as they are, where the network's does not depend on
    them alone. Points of the jaw may be any vertex of the outline, see `twodasl_ext.Contours`.

    Args:
        model, basis: the face model, and its basis on the device on which faces are fitted.

    Raises InputError where the model has no outline to follow: its 68 landmarks do not lie as on an upright
    face.
    """

    def __init__(self, model: MorphableModel, basis: MorphableBasis) -> None:
        self.basis = basis
        self._prior = model_spread(model, basis)
        self._contours = outline_of(model, basis)

    def __call__(self, parameters: Tensor, points: Tensor) -> Tensor:
        """Parameters (B, 12+K) of a crop, and landmarks (B, 68, 2) in its pixels -> (B, 12+K), fitted."""
        found = twodasl_ext.fit_landmarks(
            self.basis,
            upright(points).to(parameters),
            SIGMA,
            start=start_pose(parameters),
            prior=self._prior,
            contours=self._contours,
        )
        return join_parameters(found.pose, found.coefficients)


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
