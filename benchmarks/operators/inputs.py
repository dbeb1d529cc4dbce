"""The random numbers that a workload is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .workloads import Workload


@dataclass
class Inputs:
    """Random numbers of a face's sizes, float32."""

    mean: Tensor
    modes: Tensor
    landmarks: Tensor
    coefficients: Tensor
    pose: Tensor
    predicted: Tensor
    target: Tensor
    grad: Tensor


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator)


@lru_cache(maxsize=1)
def _face(count: int, modes: int, landmarks: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    mean, displacements = _normal(generator, count, 3) * 60, _normal(generator, modes, count, 3)
    return mean, displacements, torch.randint(0, count, (landmarks,), generator=generator)


def make_inputs(workload: Workload) -> Inputs:
    """Inputs of every operator but rasterize."""
    mean, modes, landmarks = _face(workload.vertices, workload.modes, workload.landmarks)
    generator = torch.Generator().manual_seed(1)
    pose = _normal(generator, workload.batch, 3, 4)
    coefficients = _normal(generator, workload.batch, workload.modes)
    target = torch.cat((pose.flatten(1), coefficients), dim=1)
    predicted = target * (1 + 0.1 * _normal(generator, *target.shape))
    grad = _normal(generator, workload.batch, workload.rows, 3)
    return Inputs(mean, modes, landmarks, coefficients, pose, predicted, target, grad)


def make_scene(workload: Workload) -> tuple[Tensor, Tensor]:
    """A turned ellipsoid that fills two thirds of the image: (B, N, 3) and (T, 3), two triangles a vertex."""
    rings = round((workload.vertices / 2) ** 0.5)
    assert 2 * rings * rings == workload.vertices, "a scene has 2 n^2 vertices"
    polar = torch.linspace(0, torch.pi, rings)
    round_ = torch.linspace(0, 2 * torch.pi, 2 * rings + 1)[:-1]
    p, r = torch.meshgrid(polar, round_, indexing="ij")
    points = torch.stack((p.sin() * r.cos() * 0.33, p.cos() * 0.42, p.sin() * r.sin() * 0.38), dim=-1)
    generator = torch.Generator().manual_seed(0)
    turns = torch.linalg.qr(torch.randn(workload.batch, 3, 3, generator=generator)).Q
    vertices = (points.reshape(1, -1, 3) @ turns + torch.tensor([0.5, 0.5, 0.0])) * workload.pixels
    row = torch.arange(rings - 1)[:, None] * 2 * rings
    here, there = row + torch.arange(2 * rings), row + (torch.arange(2 * rings) + 1) % (2 * rings)
    upper = torch.stack((here, there, here + 2 * rings), dim=-1).reshape(-1, 3)
    lower = torch.stack((there, there + 2 * rings, here + 2 * rings), dim=-1).reshape(-1, 3)
    return vertices.contiguous(), torch.cat((upper, lower))
