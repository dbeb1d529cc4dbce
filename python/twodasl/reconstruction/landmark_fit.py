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

_OUTLINE = range(17)  # of the 68 points, those on the outline of the face


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
        self._prior = CoefficientPrior.of_deviations(torch.from_numpy(model.coefficient_std).to(basis.device))
        try:
            self._contours = Contours.of_outline(basis, _OUTLINE)
        except ValueError as error:
            raise InputError(f"fit: the face model {model.name!r} has no outline ({error})") from error

    def __call__(self, parameters: Tensor, points: Tensor) -> Tensor:
        """Parameters (B, 12+K) of a crop, and landmarks (B, 68, 2) in its pixels -> (B, 12+K), fitted."""
        pose, _ = split_parameters(parameters, self.basis.mode_count)
        # The fit keeps the form of the matrix that it starts from: a rotation times a scale.
        scale, angles, translation = decompose_pose(pose)
        upright = torch.stack([points[..., 0], flip_y(points[..., 1])], dim=-1).to(parameters)
        found = twodasl_ext.fit_landmarks(
            self.basis,
            upright,
            SIGMA,
            start=pose_matrix(scale, angles, translation),
            prior=self._prior,
            contours=self._contours,
        )
        return join_parameters(found.pose, found.coefficients)
