"""What is known before a fit: distributions of coefficients, and points from several sources, joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ._arguments import as_tensor
from ._checks import check_tensor, shape_text
from ._dispatch import can_look

# Of the largest entry: how far a covariance may be from symmetric, rounding included.
_UNEVEN = 1e-4


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
        mean, precision = _floating(self.mean, "mean"), _floating(self.precision, "precision")
        if mean.dim() not in (1, 2):
            raise ValueError(f"mean: expected (K,) or (B, K), got {shape_text(mean)}")
        modes = mean.shape[-1]
        expected = f"({modes},), (B, {modes}), (1, {modes}, {modes}) or (B, {modes}, {modes})"
        full = precision.dim() == 3 and precision.shape[1:] == (modes, modes)
        if not full and (precision.dim() not in (1, 2) or precision.shape[-1] != modes):
            raise ValueError(
                f"precision: expected {expected} for a mean {shape_text(mean)}, got {shape_text(precision)}"
            )
        own = precision.diagonal(dim1=1, dim2=2) if full else precision
        if can_look(own) and bool((own < 0).any()):
            raise ValueError(f"precision: expected numbers >= 0, got {float(own.min()):g}")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "precision", precision)

    @classmethod
    def of_deviations(cls, deviations: Any, mean: Any = None) -> CoefficientPrior:
        """From standard deviations (K,) or (B, K), all positive; infinity: nothing is known. The mean is 0
        unless given.

        A model's own spread is `of_deviations(basis's standard deviations)`; a network's prediction of which
        one knows how far it usually is off, `of_deviations(errors, predicted)`.
        """
        deviations = _floating(deviations, "deviations")
        if can_look(deviations) and not bool((deviations > 0).all()):
            raise ValueError("deviations: expected standard deviations > 0, got 0, less, or NaN")
        mean = torch.zeros_like(deviations) if mean is None else _floating(mean, "mean")
        return cls(mean, deviations.square().reciprocal())

    @classmethod
    def of_covariance(cls, covariance: Any, mean: Any = None) -> CoefficientPrior:
        """From a covariance (K, K) or (B, K, K), symmetric and positive definite."""
        covariance = _floating(covariance, "covariance")
        if covariance.dim() not in (2, 3) or covariance.shape[-1] != covariance.shape[-2]:
            raise ValueError(f"covariance: expected (K, K) or (B, K, K), got {shape_text(covariance)}")
        covariance = covariance if covariance.dim() == 3 else covariance[None]
        mean = covariance.new_zeros(covariance.shape[-1]) if mean is None else _floating(mean, "mean")
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if can_look(covariance):
            uneven = (covariance - covariance.mT).abs()
            if uneven.numel() and bool(uneven.max() > _UNEVEN * covariance.abs().max()):
                raise ValueError("covariance: expected symmetric matrices")
            if bool(failed.any()):
                raise ValueError("covariance: expected positive definite matrices")
        return cls(mean, torch.cholesky_inverse(factor))

    def joined(self, *others: CoefficientPrior) -> CoefficientPrior:
        """The product of the distributions: precisions are summed, means averaged by them.

        For sources that know nothing of each other. A network that was trained on a model's faces knows their
        spread already; joined with it, that would count twice.
        """
        found = self
        for other in others:
            if not isinstance(other, CoefficientPrior):
                raise TypeError(f"joined: expected CoefficientPriors, got {type(other).__name__}")
            _check_alike(found, other)
            found = _product(found, other)
        return found


def _floating(value: Any, name: str) -> Tensor:
    """A dense floating-point tensor, half precision promoted; of a list or integers, of the default dtype."""
    tensor = check_tensor(as_tensor(value, name), name)
    if tensor.is_complex():
        raise TypeError(f"{name}: expected real numbers, got {tensor.dtype}")
    if tensor.dtype in (torch.float16, torch.bfloat16):
        return tensor.float()
    if not tensor.is_floating_point() or isinstance(value, (list, tuple)):
        return tensor.to(torch.get_default_dtype())
    return tensor


def _check_alike(a: CoefficientPrior, b: CoefficientPrior) -> None:
    """ValueError unless the two are of as many coefficients and faces, and on one device."""
    if a.mean.shape[-1] != b.mean.shape[-1]:
        raise ValueError(
            f"joined: expected priors of {a.mean.shape[-1]} coefficients, got {b.mean.shape[-1]}"
        )
    if a.mean.device != b.mean.device:
        raise ValueError(f"joined: expected priors on {a.mean.device}, got one on {b.mean.device}")
    faces = 1
    for tensor in (a.mean, a.precision, b.mean, b.precision):
        count = tensor.shape[0] if tensor.dim() > 1 else 1
        if count != 1 and faces not in (1, count):
            raise ValueError(f"joined: expected priors of as many faces, got {faces} and {count}")
        faces = faces if count == 1 else count


def _product(a: CoefficientPrior, b: CoefficientPrior) -> CoefficientPrior:
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
        sigma: of each source (B, L), standard deviations > 0. A point that is not finite, or whose sigma is
            infinite or NaN, is not seen by that source.

    Returns:
        points (B, L, D), sigma (B, L), half precision promoted; NaN and infinity where no source sees a
        point. The sources are taken to err independently of each other: what is not known to be so deserves a
        larger sigma. Gradients flow to both.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came.
    """
    for value, name in ((points, "points"), (sigma, "sigma")):
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{name}: expected a list with a tensor a source, got {type(value).__name__}")
    if len(points) != len(sigma) or not len(points):
        raise ValueError(f"sigma: expected one for each of the {len(points)} points, got {len(sigma)}")
    places = [_floating(p, f"points[{i}]") for i, p in enumerate(points)]
    spreads = [_floating(s, f"sigma[{i}]") for i, s in enumerate(sigma)]
    for i, (place, spread) in enumerate(zip(places, spreads, strict=True)):
        if place.dim() != 3 or place.shape != places[0].shape:
            raise ValueError(f"points[{i}]: expected (B, L, D) like points[0], got {shape_text(place)}")
        if spread.shape != place.shape[:2]:
            raise ValueError(
                f"sigma[{i}]: expected {tuple(place.shape[:2])} like its points, got {shape_text(spread)}"
            )
        if can_look(spread) and bool((spread <= 0).any()):
            raise ValueError(f"sigma[{i}]: expected standard deviations > 0; infinity takes a point out")
    seen = [p.isfinite().all(dim=2) & s.isfinite() & (s > 0) for p, s in zip(places, spreads, strict=True)]
    # Weights relative to the surest source's: the square of a tiny or a huge sigma is no number of this type.
    given = [torch.where(known, s, torch.inf) for known, s in zip(seen, spreads, strict=True)]
    least = torch.stack(torch.broadcast_tensors(*given)).amin(dim=0).detach()
    known = least.isfinite()
    unit = torch.where(known, least, 1)
    total, mean = torch.zeros_like(unit), torch.zeros_like(places[0])
    for place, spread, here in zip(places, spreads, seen, strict=True):
        weight = torch.where(here, (unit / torch.where(here, spread, 1)).square(), 0)
        total = total + weight
        share = torch.where(here, weight / torch.where(total > 0, total, 1), 0)
        mean = mean + share[..., None] * (torch.where(here[..., None], place, 0) - mean)
    found = torch.where(known, unit * torch.where(known, total, 1).rsqrt(), torch.inf)
    return torch.where(known[..., None], mean, torch.nan), found
