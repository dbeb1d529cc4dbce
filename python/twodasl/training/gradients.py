"""Losses with gradients written out: torch's own take about twice the operations, each a launch on a GPU.

A step's losses are small, so their time on a GPU is their number of launches, and on a processor that of
operators called. First derivatives only. Constants of a value are applied to sums, not to what is summed.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ..geometry.constants import constant
from ..landmarks import pairs_of_eighteen


class WeightedSquares(Function):
    """Mean over faces of `sum_i w_i ((p_i - t_i) / s_i)^2`, differentiable in p.

    p, t: (B, P); s: (P,); w: (B, P) or (P,).
    """

    @staticmethod
    def forward(ctx: Any, predicted: Tensor, target: Tensor, scale: Tensor, weights: Tensor) -> Tensor:
        difference = (predicted - target) / scale
        weighted = difference * weights
        ctx.save_for_backward(weighted, scale)
        return (weighted * difference).sum() / len(predicted)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weighted, scale = ctx.saved_tensors
        zero = _zero(weighted)
        return torch.addcdiv(zero, weighted * gradient, scale, value=2 / len(weighted)), None, None, None


class Triangle(Function):
    """The mean squared sides of a triangle, (3,): between first landmarks and observed ones, in the image and
    weighted; between first and second, in space; between second and observed, in the image.

    first, second: (B, N, 3), differentiable; observed: (B, N, 2), may be NaN where not visible; visible:
    (B, N) bool; weights: N numbers. Means are over faces and over N.
    """

    @staticmethod
    def forward(
        ctx: Any,
        first: Tensor,
        second: Tensor,
        observed: Tensor,
        visible: Tensor,
        weights: tuple[float, ...],
    ) -> Tensor:
        seen, zero = visible[..., None], _zero(first)
        flat = torch.cat([torch.where(seen, observed, zero), zero.expand(*visible.shape, 1)], dim=-1)
        corners = torch.cat([flat, first, second, flat]).unflatten(0, (4, -1))
        sides = corners[1:] - corners[:-1]
        every, space = (
            constant(values, first.device, first.dtype).view(3, 1, -1, 3)
            for values in _side_weights(weights, len(first))
        )
        weighted = sides * torch.where(seen, every, space)
        ctx.save_for_backward(weighted)
        return (weighted * sides).sum(dim=(1, 2, 3))

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weighted,) = ctx.saved_tensors
        pull = torch.addcmul(_zero(weighted), weighted, gradient[:, None, None, None], value=2)
        ends = pull[:2] - pull[1:]
        return ends[0], ends[1], None, None, None


@cache
def _side_weights(weights: tuple[float, ...], faces: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(3, N, 3), flat: of the sides' coordinates where a point is visible, and where it is not."""
    count = len(weights)
    one = 1 / (count * faces)
    space = (one, one, one) * count
    weighted = tuple(value for weight in weights for value in (weight * one, weight * one, 0.0))
    cycle, none = (one, one, 0.0) * count, (0.0, 0.0, 0.0) * count
    return weighted + space + cycle, none + space + none


class Likelihood(Function):
    """Mean over faces of the mean over visible points of `||x - y||^2 / (2 s) + log s`.

    x, s: (B, P, 2) and (B, P), differentiable; y: (B, P, 2), may be NaN where not visible; visible:
    (B, P) bool or None.
    """

    @staticmethod
    def forward(ctx: Any, points: Tensor, variance: Tensor, target: Tensor, visible: Tensor | None) -> Tensor:
        error = points - target
        share: Tensor | None = None
        if visible is not None:
            error = torch.where(visible[..., None], error, _zero(error))
            share = visible / visible.sum(dim=1, keepdim=True, dtype=error.dtype).clamp_min(1)
        square = (error * error).sum(dim=2) / variance
        terms = torch.add(variance.log(), square, alpha=0.5)
        ctx.save_for_backward(error, variance, square, share)
        return terms.mean() if share is None else (terms * share).sum() / len(terms)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        error, variance, square, share = ctx.saved_tensors
        gradient = gradient / (square.numel() if share is None else len(square))
        rate = (gradient if share is None else gradient * share) / variance
        return error * rate[..., None], torch.addcmul(rate, rate, square, value=-0.5), None, None


class MixedLikelihood(Function):
    """The mean over faces of `Likelihood`'s, of all 68 points of the first faces and of the paper's 18, means
    of pairs of the 68, of the others.

    points: (A + B, 68, 2), sigma: (A + B, 68), both differentiable; known: (A, 68, 2); observed: (B, 18, 2),
    may be NaN where not visible; visible: (B, 18) bool.
    """

    @staticmethod
    def forward(
        ctx: Any, points: Tensor, sigma: Tensor, known: Tensor, observed: Tensor, visible: Tensor
    ) -> Tensor:
        count, device, dtype = len(known), points.device, points.dtype
        rows = torch.cat([points, (sigma * sigma)[..., None]], dim=2)
        mixed = rows[count:].index_select(1, constant(_PAIRS, device, torch.int64)).unflatten(1, (2, -1))
        rows = torch.cat([rows[:count].flatten(0, 1), mixed.mean(dim=1).flatten(0, 1)])
        seen = torch.where(visible[..., None], observed, _zero(points))
        error = rows[:, :2] - torch.cat([known.flatten(0, 1), seen.flatten(0, 1)])
        share = visible / visible.sum(dim=1, keepdim=True, dtype=dtype).clamp_min(1)
        whole = constant((1 / known.shape[1],), device, dtype).expand(known[..., 0].numel())
        share = torch.cat([whole, share.flatten()])
        # What is not visible has no share, and an error that counts for nothing.
        variance = rows[:, 2]
        square = (error * error).sum(dim=1) / variance
        ctx.save_for_backward(error, variance, square, share, sigma)
        return (torch.add(variance.log(), square, alpha=0.5) * share).sum() / len(points)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        error, variance, square, share, sigma = ctx.saved_tensors
        faces, count = sigma.shape
        pairs = len(_PAIRS) // 2
        known = (len(share) - faces * pairs) // (count - pairs)
        rate = torch.addcdiv(_zero(share), share * gradient, variance, value=1 / faces)
        spread = torch.addcmul(rate, rate, square, value=-0.5)
        rows = torch.cat([error * rate[:, None], spread[:, None]], dim=1)
        whole, mixed = rows.split((known * count, (faces - known) * pairs))
        # A point of the 68 belongs to one pair at most, so its gradient is gathered, not added up.
        owners = constant(_OWNERS, rows.device, torch.int64)
        parts = constant(_PARTS, rows.device, rows.dtype)
        mixed = mixed.unflatten(0, (-1, pairs)).index_select(1, owners) * parts[:, None]
        rows = torch.cat([whole.unflatten(0, (-1, count)), mixed])
        spread = torch.addcmul(_zero(sigma), rows[..., 2], sigma, value=2)
        return rows[..., :2], spread, None, None, None


_FIRST, _SECOND = pairs_of_eighteen()
_PAIRS = _FIRST + _SECOND
_MEMBERS = {point: i for pair in (_FIRST, _SECOND) for i, point in enumerate(pair)}
_OWNERS = tuple(_MEMBERS.get(point, 0) for point in range(68))
_PARTS = tuple((_FIRST.count(point) + _SECOND.count(point)) / 2 for point in range(68))


def _zero(like: Tensor) -> Tensor:
    return constant((0.0,), like.device, like.dtype)
