"""skin as a workload: meshes with joints as models store them, and its formulations in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from .workloads import Workload

Function = Callable[[Tensor, Tensor], Tensor]
REACH = 4
"""Joints that share a vertex, as in SMPL-X."""


@lru_cache(maxsize=1)
def make_skins(workload: Workload) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Vertices (B, N, 3), weights (N, J), transforms (B, J, 4, 4) and a gradient, the same every time.

    Neighboring vertices follow the same joints, as in a mesh that is stored part by part.
    """
    generator = torch.Generator().manual_seed(0)
    batch, count, joints = workload.batch, workload.vertices, workload.joints

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    middle = torch.linspace(0, joints - 1, count)
    away = (torch.arange(joints) - middle[:, None]).abs()
    weights = torch.rand(count, joints, generator=generator) + 0.1
    weights[away > REACH / 2] = 0
    weights = weights / weights.sum(dim=1, keepdim=True)
    transforms = torch.eye(4).repeat(batch, joints, 1, 1)
    transforms[:, :, :3] += 0.3 * normal(batch, joints, 3, 4)
    return normal(batch, count, 3), weights, transforms, normal(batch, count, 3)


def formulations(weights: Tensor) -> dict[str, Function]:
    """Functions of vertices and transforms; the weights are the model's, and constant."""
    count, joints = weights.shape

    def homogeneous(vertices: Tensor, transforms: Tensor) -> Tensor:
        """A 4x4 matrix for every vertex and a fourth coordinate: the end of smplx's lbs()."""
        batch = len(vertices)
        shared = weights.expand(batch, count, joints)
        blended = (shared @ transforms.reshape(batch, joints, 16)).reshape(batch, count, 4, 4)
        points = torch.cat((vertices, vertices.new_ones(batch, count, 1)), dim=2)
        return (blended @ points[..., None])[:, :, :3, 0]

    def rows(vertices: Tensor, transforms: Tensor) -> Tensor:
        """A 3x4 matrix for every vertex, in one product for all elements, and a sum over its columns."""
        batch = len(vertices)
        flat = transforms[:, :, :3].permute(1, 0, 2, 3).reshape(joints, batch * 12)
        blended = (weights @ flat).reshape(count, batch, 3, 4).transpose(0, 1)
        return (blended[..., :3] * vertices[:, :, None]).sum(dim=3) + blended[..., 3]

    def columns(vertices: Tensor, transforms: Tensor) -> Tensor:
        """The columns of the 3x4 matrices one after the other, of which only one exists at a time."""
        flat = transforms[:, :, :3]
        moved = weights @ flat[..., 3]
        for c in range(3):
            moved = torch.addcmul(moved, weights @ flat[..., c], vertices[..., c, None])
        return moved

    return {"4x4 per vertex": homogeneous, "3x4 per vertex": rows, "column by column": columns}
