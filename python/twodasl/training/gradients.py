"""Losses with gradients written out: torch's own take about twice the operations, each a launch on a GPU.

A step's losses are small, so their time on a GPU is their number of launches, and on a processor that of
operators called. First derivatives only. Constants of a value are applied to sums, not to what is summed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ..geometry.constants import constant


class Frame(Function):
    """Parameters of both passes and of ground truth in one frame: `offset + factor * rows`, and three views.

    predicted: (P, 12+K), of one pass or of one after the other, differentiable; target: (A, 12+K); offset,
    factor: (P + A, 12+K).

    Returns:
        (P, 12+K), the first A of these, and (A, 12+K), the target.
    """

    @staticmethod
    def forward(
        ctx: Any, first: Tensor, second: Tensor | None, target: Tensor, offset: Tensor, factor: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.both, ctx.size = second is not None, len(first)
        ctx.save_for_backward(factor)
        passes = [first] if second is None else [first, second]
        rows = torch.addcmul(offset, torch.cat([*passes, target]), factor)
        predicted, supervised, target = rows[: -len(target)], rows[: len(target)], rows[-len(target) :]
        ctx.mark_non_differentiable(target)
        return predicted, supervised, target

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(
        ctx: Any, predicted: Tensor | None, supervised: Tensor | None, _: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        (factor,) = ctx.saved_tensors
        if supervised is None:
            rows = predicted
        elif predicted is None:
            rows = torch.nn.functional.pad(supervised, (0, 0, 0, ctx.size * (1 + ctx.both) - len(supervised)))
        else:
            count = len(supervised)
            rows = torch.cat([predicted[:count] + supervised, predicted[count:]])
        if rows is None:
            return None, None, None, None, None
        rows = rows * factor[: len(rows)]
        return rows[: ctx.size], rows[ctx.size :] if ctx.both else None, None, None, None


class PairMeans(Function):
    """(B, 68, D) -> (B, 18, D), means of pairs; see `losses.Pairs`.

    A point belongs to one pair at most, so its gradient is gathered, not added up in any order.
    """

    @staticmethod
    def forward(ctx: Any, points: Tensor, members: Tensor, owners: Tensor, parts: Tensor) -> Tensor:
        ctx.save_for_backward(owners, parts)
        return points.index_select(1, members).unflatten(1, (2, -1)).mean(dim=1)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        owners, parts = ctx.saved_tensors
        return gradient.index_select(1, owners) * parts[:, None], None, None, None


class WeightedSquares(Function):
    """Of each face `sum_i w_i ((p_i - t_i) / s_i)^2`, (B,), differentiable in p.

    p, t: (B, P); s: (P,); w: (B, P) or (P,).
    """

    @staticmethod
    def forward(ctx: Any, predicted: Tensor, target: Tensor, scale: Tensor, weights: Tensor) -> Tensor:
        difference = (predicted - target) / scale
        weighted = difference * weights
        ctx.save_for_backward(weighted, scale)
        return (weighted * difference).sum(dim=1)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weighted, scale = ctx.saved_tensors
        pull = weighted * gradient[:, None]
        return torch.addcdiv(zero(weighted), pull, scale, value=2), None, None, None


class Quadratic(Function):
    """Of each face `s (p - t)^T M (p - t)`, (B,), differentiable in p.

    p, t: (B, P); M: (P, P), symmetric; s: (B,) or None for 1.
    """

    @staticmethod
    def forward(ctx: Any, predicted: Tensor, target: Tensor, metric: Tensor, scale: Tensor | None) -> Tensor:
        difference = predicted - target
        pull = difference @ metric
        ctx.save_for_backward(pull, scale)
        values = (pull * difference).sum(dim=1)
        return values if scale is None else values * scale

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        pull, scale = ctx.saved_tensors
        gradient = gradient if scale is None else gradient * scale
        return torch.addcmul(zero(pull), pull, gradient[:, None], value=2), None, None, None


class Triangle(Function):
    """Of each face the weighted sums of the squared sides of a triangle, (3, B): between first landmarks and
    observed ones, between first and second, between second and observed.

    points: (2B, N, 3) the first and then the second ones, differentiable; observed: (B, N, 2), may be NaN
    where not visible; visible: (B, N) bool; seen, hidden: (3, 1, N, 3) what a side's coordinates weigh where
    the point is visible and where it is not.
    """

    @staticmethod
    def forward(
        ctx: Any, points: Tensor, observed: Tensor, visible: Tensor, seen: Tensor, hidden: Tensor
    ) -> Tensor:
        there, none = visible[..., None], zero(points)
        flat = torch.cat([torch.where(there, observed, none), none.expand(*visible.shape, 1)], dim=-1)
        corners = torch.cat([flat, points, flat]).unflatten(0, (4, -1))
        sides = corners[1:] - corners[:-1]
        weighted = sides * torch.where(there, seen, hidden)
        ctx.save_for_backward(weighted)
        return (weighted * sides).sum(dim=(2, 3))

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weighted,) = ctx.saved_tensors
        pull = torch.addcmul(zero(weighted), weighted, gradient[..., None, None], value=2)
        return (pull[:2] - pull[1:]).flatten(0, 1), None, None, None, None


class Likelihood(Function):
    """Of each face the mean over visible points of `||x - y||^2 / (2 s) + log s`, (B,).

    x, s: (B, P, 2) and (B, P), differentiable; y: (B, P, 2), may be NaN where not visible; visible:
    (B, P) bool or None.
    """

    @staticmethod
    def forward(ctx: Any, points: Tensor, variance: Tensor, target: Tensor, visible: Tensor | None) -> Tensor:
        error = points - target
        share: Tensor | None = None
        if visible is not None:
            error = torch.where(visible[..., None], error, zero(error))
            share = _shares(visible, error.dtype)
        square = (error * error).sum(dim=2) / variance
        terms = torch.add(variance.log(), square, alpha=0.5)
        ctx.save_for_backward(error, variance, square, share)
        return terms.mean(dim=1) if share is None else (terms * share).sum(dim=1)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        error, variance, square, share = ctx.saved_tensors
        gradient = gradient[:, None] / square.shape[1] if share is None else gradient[:, None] * share
        rate = gradient / variance
        return error * rate[..., None], torch.addcmul(rate, rate, square, value=-0.5), None, None


class MixedLikelihood(Function):
    """What points give to `Likelihood`'s, (68 A + 18 B,), face by face: all 68 of the first faces, and of the
    others the paper's 18, which are means of pairs of the 68. The sum over a face is its mean.

    points: (A + B, 68, 2), sigma: (A + B, 68), both differentiable; known: (A, 68, 2); observed: (B, 18, 2),
    may be NaN where not visible; visible: (B, 18) bool; members: (36,) the pairs; of each of the 68 points,
    owners: (68,) a pair that it is in, if any, and parts: (68,) what it counts there.
    """

    @staticmethod
    def forward(
        ctx: Any,
        points: Tensor,
        sigma: Tensor,
        known: Tensor,
        observed: Tensor,
        visible: Tensor,
        members: Tensor,
        owners: Tensor,
        parts: Tensor,
    ) -> Tensor:
        count = len(known)
        rows = torch.cat([points, (sigma * sigma)[..., None]], dim=2)
        mixed = rows[count:].index_select(1, members).unflatten(1, (2, -1))
        rows = torch.cat([rows[:count].flatten(0, 1), mixed.mean(dim=1).flatten(0, 1)])
        seen = torch.where(visible[..., None], observed, zero(points))
        error = rows[:, :2] - torch.cat([known.flatten(0, 1), seen.flatten(0, 1)])
        share = _shares(visible, points.dtype)
        whole = (zero(points) + 1 / known.shape[1]).expand(known[..., 0].numel())
        share = torch.cat([whole, share.flatten()])
        # What is not visible has no share, and an error that counts for nothing.
        variance = rows[:, 2]
        square = (error * error).sum(dim=1) / variance
        ctx.save_for_backward(error, variance, square, share, sigma, owners, parts)
        return torch.add(variance.log(), square, alpha=0.5) * share

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        error, variance, square, share, sigma, owners, parts = ctx.saved_tensors
        faces, count = sigma.shape
        known = (len(share) - faces * _EIGHTEEN) // (count - _EIGHTEEN)
        rate = share * gradient / variance
        spread = torch.addcmul(rate, rate, square, value=-0.5)
        rows = torch.cat([error * rate[:, None], spread[:, None]], dim=1)
        whole, mixed = rows.split((known * count, (faces - known) * _EIGHTEEN))
        # A point of the 68 belongs to one pair at most, so its gradient is gathered, not added up.
        mixed = mixed.unflatten(0, (-1, _EIGHTEEN)).index_select(1, owners) * parts[:, None]
        rows = torch.cat([whole.unflatten(0, (-1, count)), mixed])
        spread = torch.addcmul(zero(sigma), rows[..., 2], sigma, value=2)
        return rows[..., :2], spread, None, None, None, None, None, None


_EIGHTEEN = 18


def zero(like: Tensor) -> Tensor:
    """(1,) kept on the device; inside a graph a number of its code."""
    return like.new_zeros(1) if torch.compiler.is_compiling() else constant((0.0,), like.device, like.dtype)


def _shares(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, P): of a face's visible points, one over their number."""
    return visible / visible.sum(dim=1, keepdim=True, dtype=dtype).clamp_min(1)
