"""Chamfer distances between clouds of points: compositions of nearest_neighbors, differentiable."""

from __future__ import annotations

import torch
from torch import Tensor

from .neighbors import nearest_neighbors


def chamfer_distance(
    a: Tensor,
    b: Tensor,
    *,
    a_lengths: Tensor | None = None,
    b_lengths: Tensor | None = None,
    squared: bool = True,
) -> Tensor:
    """1/N sum_i min_j ||a_i - b_j||^2  +  1/P sum_j min_i ||a_i - b_j||^2.

    Args:
        a: (B, N, 3) or (N, 3), float32 or float64.
        b: (B, P, 3) or (P, 3) of the same dtype and device.
        a_lengths, b_lengths: (B,) integers: only the first so many points of an element exist.
        squared: False takes the distances themselves instead of their squares.

    Returns:
        (B,), or a scalar of single clouds, in the clouds' dtype: their unit squared, or their unit with
        `squared=False`.

    Gradients flow to `a` and `b` through the distances; which point is nearest is a constant. That of a
    distance of zero is zero.

    Raises:
        ValueError, TypeError: as `nearest_neighbors`.
    """
    there = one_sided_distance(a, b, source_lengths=a_lengths, target_lengths=b_lengths, squared=squared)
    back = one_sided_distance(b, a, source_lengths=b_lengths, target_lengths=a_lengths, squared=squared)
    return there + back


def one_sided_distance(
    source: Tensor,
    target: Tensor,
    *,
    source_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    squared: bool = True,
) -> Tensor:
    """1/N sum_i min_j ||source_i - target_j||^2: how far the source's points are from the target.

    The target's points that nothing of the source is near count nothing: for a part of a face against the
    whole. Arguments, result, gradients and errors as for `chamfer_distance`.
    """
    distances, _ = nearest_neighbors(source, target, lengths=target_lengths, query_lengths=source_lengths)
    inside = None
    if source_lengths is not None:
        counts = source_lengths.to(torch.int64)
        inside = torch.arange(distances.shape[1], device=distances.device) < counts[:, None]
        distances = torch.where(inside, distances, 0)
    if not squared:
        # The square root of zero has an infinite slope: its place is taken by a constant.
        positive = distances > 0
        distances = torch.where(positive, torch.where(positive, distances, 1).sqrt(), 0)
    if inside is None:
        return distances.mean(dim=-1)
    return distances.sum(dim=1) / counts
