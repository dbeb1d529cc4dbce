"""Chamfer distances from the full distance matrix."""

from __future__ import annotations

from torch import Tensor


def one_sided_distance(source: Tensor, target: Tensor, *, squared: bool = True) -> Tensor:
    """(B, N, 3), (B, P, 3) -> (B,): the mean over the source of the (squared) distance to the target."""
    distances = (source[:, :, None] - target[:, None]).square().sum(dim=3).amin(dim=2)
    return (distances if squared else distances.sqrt()).mean(dim=1)


def chamfer_distance(a: Tensor, b: Tensor, *, squared: bool = True) -> Tensor:
    """(B, N, 3), (B, P, 3) -> (B,): the sum of both directions."""
    return one_sided_distance(a, b, squared=squared) + one_sided_distance(b, a, squared=squared)
