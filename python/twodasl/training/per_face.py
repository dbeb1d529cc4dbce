"""What each face gives to the losses, whose means over the faces they are: written out, or for a compiler.

Constants come as arguments, so that a compiled graph takes them as inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from ..geometry.constants import constant
from ..landmarks import EIGHTEEN_WEIGHTS, TWENTY_ONE_WEIGHTS, pairs_of_eighteen
from .gradients import Likelihood, MixedLikelihood, PairMeans, Triangle, WeightedSquares, zero

POINT_WEIGHTS = {len(v): tuple(v.tolist()) for v in (EIGHTEEN_WEIGHTS, TWENTY_ONE_WEIGHTS)}
"""v of L2d-con, by the number of points."""

_FIRST, _SECOND = pairs_of_eighteen()
_MEMBERS = {point: i for pair in (_FIRST, _SECOND) for i, point in enumerate(pair)}
_OWNERS = tuple(_MEMBERS.get(point, 0) for point in range(68))
_PARTS = tuple((_FIRST.count(point) + _SECOND.count(point)) / 2 for point in range(68))


def uniform_weights(like: Tensor, space: str, normalize: str) -> Tensor:
    """(12+K,) the W of `parameter_loss` without importance, for parameters (..., 12+K)."""
    weights = torch.ones_like(like[0] if like.ndim > 1 else like)
    weights[8 if space == "2d" else 11 : 12] = 0
    return weights / weights.sum() if normalize == "sum" else weights


def squares(predicted: Tensor, target: Tensor, scale: Tensor, weights: Tensor) -> Tensor:
    """(B,) of each face `sum_i w_i ((p_i - t_i) / s_i)^2`: what `parameter_loss` is the mean of."""
    values: Tensor = WeightedSquares.apply(predicted, target, scale, weights)
    return values


@dataclass(frozen=True)
class SideWeights:
    """What the squared sides of `consistency` weigh, for a face."""

    seen: Tensor
    """(3, 1, N, 3) coordinate by coordinate where a point is visible, and"""
    hidden: Tensor
    """(3, 1, N, 3) where it is not."""
    plane: Tensor
    """(N,) what a point weighs in L2d-con alone."""


def side_weights(like: Tensor, equal: bool = False) -> SideWeights:
    """Constants for points (..., N, D), N = 18 or 21, on their device."""
    weights = POINT_WEIGHTS[like.shape[-2]]
    if equal:
        weights = (sum(weights) / len(weights),) * len(weights)
    seen, hidden, plane = (constant(v, like.device, like.dtype) for v in _side_numbers(weights))
    return SideWeights(seen.view(3, 1, -1, 3), hidden.view(3, 1, -1, 3), plane)


@cache
def _side_numbers(weights: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    """The fields of `SideWeights`, flat."""
    count = len(weights)
    one = 1 / count
    space, cycle, none = (one, one, one) * count, (one, one, 0.0) * count, (0.0, 0.0, 0.0) * count
    plane = tuple(value for weight in weights for value in (weight * one, weight * one, 0.0))
    return plane + space + cycle, none + space + none, tuple(weight * one for weight in weights)


def side_values(points: Tensor, observed: Tensor, visible: Tensor, weights: SideWeights) -> Tensor:
    """(3, B) what each face gives to L2d-con, L3d-con and Lcyc.

    Args:
        points: (2B, N, 3) the landmarks of the first and then of the second pass.
        observed, visible: as for `consistency`.
    """
    if torch.compiler.is_compiling():
        return _plain_sides(points, observed, visible, weights)
    values: Tensor = Triangle.apply(points, observed, visible, weights.seen, weights.hidden)
    return values


def _plain_sides(points: Tensor, observed: Tensor, visible: Tensor, weights: SideWeights) -> Tensor:
    """The same for a compiler, which fuses expressions, but computes a concatenation as it stands."""
    flat = F.pad(torch.where(visible[..., None], observed, zero(points)), (0, 1))
    there = F.pad(visible[..., None].to(points.dtype).expand_as(observed), (0, 1))
    first, second = points.split(len(visible))
    plane = weights.plane[:, None] * there * (first - flat).square()
    space, cycle = (second - first).square(), there * (second - flat).square()
    return torch.cat(
        [plane.sum(dim=(1, 2)), space.sum(dim=(1, 2)) / flat.shape[1], cycle.sum(dim=(1, 2)) / flat.shape[1]]
    )


def plane_values(points: Tensor, observed: Tensor, visible: Tensor, weights: SideWeights) -> Tensor:
    """(B,) what each face gives to L2d-con: points (B, N, 3), the others as for `consistency`."""
    there, none = visible[..., None], zero(points)
    flat = torch.cat([torch.where(there, observed, none), none.expand(*visible.shape, 1)], dim=-1)
    share = torch.where(there, weights.seen[0], none)
    return squares(points.flatten(1), flat.flatten(1), none + 1, share.flatten(1))


def point_values(points: Tensor, variance: Tensor, target: Tensor, visible: Tensor | None = None) -> Tensor:
    """(B,) what each face gives to `point_likelihood`."""
    values: Tensor = Likelihood.apply(points, variance, target, visible)
    return values


@dataclass(frozen=True)
class Pairs:
    """The paper's 18 points as means of pairs of the 68, and back."""

    members: Tensor
    """(36,) int64: the first of each pair, then the second of each."""
    owners: Tensor
    """(68,) int64: a pair that the point is in; 0 where there is none."""
    parts: Tensor
    """(68,): what the point counts there, 1/2, or 1 where it is both, or 0."""


def pairs(like: Tensor) -> Pairs:
    """Constants, on the device of `like`."""
    return Pairs(
        constant(_FIRST + _SECOND, like.device, torch.int64),
        constant(_OWNERS, like.device, torch.int64),
        constant(_PARTS, like.device, like.dtype),
    )


def mixed_values(
    points: Tensor, sigma: Tensor, known: Tensor, observed: Tensor, visible: Tensor, pairs: Pairs
) -> Tensor:
    """What points or faces give to `mixed_likelihood`, times the number of faces: its sum is what counts."""
    if torch.compiler.is_compiling():
        return _plain_mixed(points, sigma, known, observed, visible, pairs)
    values: Tensor = MixedLikelihood.apply(
        points, sigma, known, observed, visible, pairs.members, pairs.owners, pairs.parts
    )
    return values


def _plain_mixed(
    points: Tensor, sigma: Tensor, known: Tensor, observed: Tensor, visible: Tensor, pairs: Pairs
) -> Tensor:
    """The same for a compiler, as `_plain_sides`."""
    count, variance = len(known), sigma.square()
    whole = _surprise(points[:count], known, variance[:count]).mean(dim=1)
    constants = (pairs.members, pairs.owners, pairs.parts)
    places = PairMeans.apply(points[count:], *constants)
    spread = PairMeans.apply(variance[count:, :, None], *constants)[..., 0]
    observed = torch.where(visible[..., None], observed, zero(points))
    others = (_surprise(places, observed, spread) * visible).sum(dim=1) / visible.sum(dim=1).clamp_min(1)
    return torch.cat([whole, others])


def _surprise(points: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    x, y = (points[..., axis] - target[..., axis] for axis in (0, 1))
    return (x * x + y * y) / (2 * variance) + variance.log()
