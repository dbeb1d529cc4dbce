"""What is known before a fit: distributions of coefficients, and points from several sources, joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ._arguments import as_tensor
from ._checks import check_tensor, shape_text


@dataclass(frozen=True)
class CoefficientPrior:
    """A normal distribution of the coefficients, common to all faces or one for each.

    Attributes:
        mean: (K,) or (B, K).
        precision: one over the variance, (K,) or (B, K); or the inverse covariance, (1, K, K) or (B, K, K),
            symmetric and not negative. Zero: nothing is known.

    Its tensors may require gradients.
    """

    mean: Tensor
    precision: Tensor

    def __post_init__(self) -> None:
        mean, precision = check_tensor(self.mean, "mean"), check_tensor(self.precision, "precision")
        if mean.dim() not in (1, 2):
            raise ValueError(f"mean: expected (K,) or (B, K), got {shape_text(mean)}")
        modes = mean.shape[-1]
        expected = f"({modes},), (B, {modes}), (1, {modes}, {modes}) or (B, {modes}, {modes})"
        full = precision.dim() == 3 and precision.shape[1:] == (modes, modes)
        if not full and (precision.dim() not in (1, 2) or precision.shape[-1] != modes):
            raise ValueError(
                f"precision: expected {expected} for a mean {shape_text(mean)}, got {shape_text(precision)}"
            )

    @classmethod
    def of_deviations(cls, deviations: Any, mean: Any = None) -> CoefficientPrior:
        """From standard deviations (K,) or (B, K), all positive; infinity: nothing is known. The mean is 0
        unless given.

        A model's own spread is `of_deviations(basis's standard deviations)`; a network's prediction of which
        one knows how far it usually is off, `of_deviations(errors, predicted)`.
        """
        deviations = as_tensor(deviations, "deviations")
        mean = torch.zeros_like(deviations) if mean is None else as_tensor(mean, "mean")
        return cls(mean, deviations.square().reciprocal())

    @classmethod
    def of_covariance(cls, covariance: Any, mean: Any = None) -> CoefficientPrior:
        """From a covariance (K, K) or (B, K, K), positive definite."""
        covariance = as_tensor(covariance, "covariance")
        if covariance.dim() not in (2, 3) or covariance.shape[-1] != covariance.shape[-2]:
            raise ValueError(f"covariance: expected (K, K) or (B, K, K), got {shape_text(covariance)}")
        covariance = covariance if covariance.dim() == 3 else covariance[None]
        mean = covariance.new_zeros(covariance.shape[-1]) if mean is None else as_tensor(mean, "mean")
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if covariance.device.type == "cpu" and not torch.compiler.is_compiling() and bool(failed.any()):
            raise ValueError("covariance: expected positive definite matrices")
        return cls(mean, torch.cholesky_inverse(factor))

    def joined(self, *others: CoefficientPrior) -> CoefficientPrior:
        """The product of the distributions: precisions are summed, means averaged by them.

        `of_deviations(errors, predicted).joined(of_deviations(spread))` takes a network's prediction for
        what it is, and the model's own spread for the rest.
        """
        found = self
        for other in others:
            found = _product(found, other)
        return found


def _product(a: CoefficientPrior, b: CoefficientPrior) -> CoefficientPrior:
    if a.mean.shape[-1] != b.mean.shape[-1]:
        raise ValueError(
            f"joined: expected priors of {a.mean.shape[-1]} coefficients, got {b.mean.shape[-1]}"
        )
    if a.precision.dim() < 3 and b.precision.dim() < 3:
        precision = a.precision + b.precision
        known = precision > 0
        share = torch.where(known, b.precision / torch.where(known, precision, 1), 0)
        return CoefficientPrior(a.mean + share * (b.mean - a.mean), precision)
    first, second = _full(a.precision), _full(b.precision)
    precision = first + second
    pulled = second @ (b.mean - a.mean).reshape(-1, a.mean.shape[-1], 1)
    size = precision.diagonal(dim1=1, dim2=2).amax(dim=1)
    ridge = (torch.finfo(precision.dtype).eps * size + (size == 0))[:, None].expand(-1, precision.shape[-1])
    moved = torch.linalg.solve_ex(precision + torch.diag_embed(ridge), pulled)[0][..., 0]
    return CoefficientPrior(a.mean + moved, precision)


def _full(precision: Tensor) -> Tensor:
    if precision.dim() == 3:
        return precision
    return torch.diag_embed(precision if precision.dim() == 2 else precision[None])


def join_points(points: Sequence[Tensor], sigma: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The same points from several sources, say a network and a detector, averaged by their precisions.

    Args:
        points: of each source (B, L, D).
        sigma: of each source (B, L), standard deviations. A point that is not finite, or whose sigma is
            infinite or NaN, is not seen by that source.

    Returns:
        points (B, L, D), sigma (B, L); NaN and infinity where no source sees a point. The sources are taken
        to err
        independently of each other: what is not known to be so deserves a larger sigma. Gradients flow to
            both.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came.
    """
    if len(points) != len(sigma) or not len(points):
        raise ValueError(f"sigma: expected one for each of the {len(points)} points, got {len(sigma)}")
    places = [check_tensor(p, f"points[{i}]") for i, p in enumerate(points)]
    spreads = [check_tensor(s, f"sigma[{i}]") for i, s in enumerate(sigma)]
    for i, (place, spread) in enumerate(zip(places, spreads, strict=True)):
        if place.dim() != 3 or place.shape != places[0].shape:
            raise ValueError(f"points[{i}]: expected (B, L, D) like points[0], got {shape_text(place)}")
        if spread.shape != place.shape[:2]:
            raise ValueError(
                f"sigma[{i}]: expected {tuple(place.shape[:2])} like its points, got {shape_text(spread)}"
            )
    total = torch.zeros_like(spreads[0])
    mean = torch.zeros_like(places[0])
    for place, spread in zip(places, spreads, strict=True):
        seen = place.isfinite().all(dim=2) & spread.isfinite() & (spread > 0)
        precision = torch.where(seen, torch.where(seen, spread, 1).square().reciprocal(), 0)
        total = total + precision
        share = torch.where(seen, precision / torch.where(total > 0, total, 1), 0)
        mean = mean + share[..., None] * (torch.where(seen[..., None], place, 0) - mean)
    known = total > 0
    found = torch.where(known, torch.where(known, total, 1).rsqrt(), torch.inf)
    return torch.where(known[..., None], mean, torch.nan), found
