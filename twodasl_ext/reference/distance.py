"""vertex_distance_cost by its definition: both dense shapes."""

from __future__ import annotations

from torch import Tensor

from .vertices import vertices


def vertex_distance_cost(
    mean: Tensor, modes: Tensor, predicted: Tensor, target: Tensor, *, ignore_depth: bool = False
) -> Tensor:
    """(B,): mean over all vertices of the squared distance."""
    poses = [p[:, :12].reshape(-1, 3, 4) for p in (predicted, target)]
    if ignore_depth:
        keep = poses[0].new_ones(3, 4)
        keep[2, 3] = 0
        poses = [p * keep for p in poses]
    shapes = [vertices(mean, modes, p[:, 12:], q) for p, q in zip((predicted, target), poses, strict=True)]
    return (shapes[0] - shapes[1]).square().sum(dim=2).mean(dim=1)
