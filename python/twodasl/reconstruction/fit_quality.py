"""Whether a fitted face can be trusted, and if not, why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..geometry.crops import SIZE
from ..geometry.parameters import split_parameters
from ..geometry.pose import decompose_pose, matrix_from_angles
from .point_fit import FittedPoints


@dataclass(frozen=True)
class Limits:
    """What is still good."""

    residual: float = SIZE / 30
    """Root mean square of the way from the given points to the model's, crop pixels."""
    turn: float = 25.0
    """Degrees from the network's pose."""
    spread: float = 3.0
    """Root mean square of the coefficients, in standard deviations of the model."""
    outside: float = 0.5
    """Share of the model's landmarks beyond the crop."""


class Quality(NamedTuple):
    """Of B fits, (B,) each: what `Limits` limit, and whether all numbers are finite."""

    finite: Tensor
    residual: Tensor
    turn: Tensor
    spread: Tensor
    outside: Tensor


def quality_of(fit: FittedPoints, network: Tensor, std: Tensor, landmarks: Tensor) -> Quality:
    """How good fits are.

    Args:
        fit: of B faces.
        network: (B, 12+K), the parameters that they started from.
        std: (K,) the model's standard deviations.
        landmarks: (B, 68, 2 or more) crop pixels, those of the fitted model.
    """
    pose, coefficients = split_parameters(fit.parameters, len(std))
    before, after = (_rotation(part) for part in (split_parameters(network, len(std))[0], pose))
    # The trace of a rotation by an angle is 1 + 2 cos(angle).
    cosine = ((before * after).sum((1, 2)) - 1) / 2
    places = landmarks[..., :2]
    beyond = ~((places > -0.5) & (places < SIZE - 0.5)).all(-1)
    finite = torch.cat([fit.parameters, fit.deviations, fit.residual[:, None]], 1).isfinite().all(1)
    return Quality(
        finite,
        fit.residual,
        torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))),
        (coefficients / std).square().mean(1).sqrt(),
        beyond.float().mean(1),
    )


def reasons(quality: Quality, limits: Limits | None = None) -> list[str]:
    """Why each of B fits is left out; "" for one that is kept."""
    limits = limits or Limits()
    checks = (
        (quality.finite, "the fit has no finite answer"),
        (quality.outside <= limits.outside, "the fitted face lies outside the crop"),
        (
            quality.residual <= limits.residual,
            f"the fit misses its points by over {limits.residual:g} pixels",
        ),
        (
            quality.turn <= limits.turn,
            f"the fit is turned over {limits.turn:g} degrees from the network's pose",
        ),
        (
            quality.spread <= limits.spread,
            f"the fitted shape is over {limits.spread:g} deviations from the mean",
        ),
    )
    found = [""] * len(quality.finite)
    for good, words in checks:
        for index in torch.nonzero(~good)[:, 0].tolist():
            found[index] = found[index] or words
    return found


def _rotation(pose: Tensor) -> Tensor:
    """(B, 3, 3) of poses (B, 3, 4)."""
    return matrix_from_angles(*decompose_pose(pose)[1].unbind(-1))
