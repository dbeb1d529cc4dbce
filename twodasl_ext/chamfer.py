"""Chamfer distances between clouds of points: differentiable compositions of nearest_neighbors."""

from __future__ import annotations

import torch
from torch import Tensor

from ._arguments import is_true
from ._checks import check_tensor, shape_text
from ._icp_inputs import check_lengths
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
        a_lengths, b_lengths: (B,) integers, the number of real points of each element; those after are
            ignored.
        squared: False takes the distances themselves instead of their squares.

    Returns:
        (B,), or a scalar of single clouds, in the clouds' dtype: their unit squared, or their unit with
        `squared=False`.

    Gradients flow to `a` and `b` through the distances; which point is nearest is a constant. The gradient of
    a zero distance is zero.

    Raises:
        ValueError, TypeError: as `nearest_neighbors`.
    """
    squared = is_true(squared, "squared")
    a_lengths, b_lengths = _check(a, "a", a_lengths), _check(b, "b", b_lengths)
    return _one_sided(a, b, a_lengths, b_lengths, squared) + _one_sided(b, a, b_lengths, a_lengths, squared)


def one_sided_distance(
    source: Tensor,
    target: Tensor,
    *,
    source_lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
    squared: bool = True,
) -> Tensor:
    """1/N sum_i min_j ||source_i - target_j||^2: how far the source's points are from the target.

    Target points far from the source do not count, which suits a part of a face against the whole. Arguments,
    result, gradients and errors as for `chamfer_distance`.
    """
    squared = is_true(squared, "squared")
    source_lengths = _check(source, "source", source_lengths)
    target_lengths = _check(target, "target", target_lengths)
    return _one_sided(source, target, source_lengths, target_lengths, squared)


def _check(cloud: Tensor, name: str, lengths: Tensor | None) -> Tensor | None:
    """The lengths, (B,) int64 and at least 1; `nearest_neighbors` checks everything else."""
    if check_tensor(cloud, name).dim() not in (2, 3) or cloud.shape[-1] != 3:
        raise ValueError(f"{name}: expected (B, N, 3) or (N, 3), got {shape_text(cloud)}")
    if 0 not in cloud.shape[:-2] and not cloud.shape[-2]:
        raise ValueError(f"{name}: expected at least one point, got {shape_text(cloud)}")
    return (
        None if lengths is None else check_lengths(lengths, f"{name}_lengths", cloud, name, cloud.dim() == 2)
    )


def _one_sided(
    source: Tensor, target: Tensor, counts: Tensor | None, target_counts: Tensor | None, squared: bool
) -> Tensor:
    distances, _ = nearest_neighbors(source, target, lengths=target_counts, query_lengths=counts)
    if not squared:
        # The square root has an infinite slope at zero, so a constant takes its place.
        positive = distances > 0
        distances = torch.where(positive, torch.where(positive, distances, 1).sqrt(), 0)
    if counts is None:
        return distances.mean(dim=-1)
    return distances.sum(dim=1) / counts  # points past a length have distance 0
