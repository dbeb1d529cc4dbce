"""fit_landmarks as a workload: faces with detected points, the operator, and its formulation in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

import twodasl_ext as te
from twodasl_ext import reference

from .workloads import Workload

POSE_SIGMA = (0.2, 0.1, 10.0)


@dataclass
class Fits:
    """A head as large as a face in a photo, points a pixel off with every ninth far off, a wrong prior."""

    basis: te.MorphableBasis
    points: Tensor
    sigma: Tensor
    start: Tensor
    prior: te.CoefficientPrior
    groups: Tensor | None


def make_fits(workload: Workload) -> Fits:
    """The same numbers every time."""
    generator = torch.Generator().manual_seed(0)
    batch, count, modes = workload.batch, workload.landmarks, workload.modes

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    mean = normal(count, 3) * torch.tensor([60.0, 80.0, 40.0])
    spread = 3.0 / torch.arange(1, modes + 1).sqrt()
    basis = te.MorphableBasis(mean, normal(modes, count, 3) * spread[:, None, None], torch.arange(count))
    turn = torch.linalg.matrix_exp(_cross(0.3 * normal(batch, 3)))
    start = torch.cat((1.3 * turn, 100.0 + 5.0 * normal(batch, 3, 1)), dim=2)
    coefficients = normal(batch, modes)
    moved = torch.linalg.matrix_exp(_cross(0.05 * normal(batch, 3))) @ turn * 1.35
    pose = torch.cat((moved, start[:, :, 3:] + 2.0 * normal(batch, 3, 1)), dim=2)
    points = te.landmarks(basis, coefficients, pose)[:, :, :2] + normal(batch, count, 2)
    points[:, ::9] += 20.0 * normal(batch, len(range(0, count, 9)), 2)
    prior = te.CoefficientPrior.of_deviations(torch.ones(modes), coefficients + 0.3 * normal(batch, modes))
    groups = torch.zeros(batch, dtype=torch.int64) if workload.shared else None
    return Fits(basis, points, torch.full((batch, count), 1.2), start, prior, groups)


def fused(workload: Workload, fits: Fits) -> Callable[[], tuple[Tensor, ...]]:
    """The operator, all steps of it."""
    options: dict[str, Any] = {"start": fits.start, "pose_sigma": POSE_SIGMA, "prior": fits.prior}
    options |= {"iterations": workload.iterations, "tolerance": 0.0}
    if fits.groups is not None:
        options |= {"groups": fits.groups, "shared": workload.shared}

    def run() -> tuple[Tensor, ...]:
        with torch.no_grad():
            found = te.fit_landmarks(fits.basis, fits.points, fits.sigma, **options)
        return (found.parameters,)

    return run


def eager(workload: Workload, fits: Fits, dtype: torch.dtype) -> Callable[[], tuple[Tensor, ...]]:
    """Batched linear algebra: the reference, which factors all faces' matrices in one call."""
    arguments = [a.to(dtype) if isinstance(a, Tensor) and a.is_floating_point() else a for a in _low(fits)]
    faces = len(fits.points)
    if workload.shared:  # one group, in which the prior of what is shared counts once
        arguments[10][:, : workload.shared] /= faces
        arguments[12] = torch.tensor([0, faces])

    def run() -> tuple[Tensor, ...]:
        with torch.no_grad():
            return (reference.fit_landmarks(*arguments, workload.shared, 2.0, workload.iterations, 0.0)[0],)

    return run


@lru_cache(maxsize=1)
def expected(workload: Workload) -> tuple[Tensor, ...]:
    """The reference in double precision."""
    return eager(workload, make_fits(workload), torch.float64)()


def _low(fits: Fits) -> list[Any]:
    """The operator's own arguments up to the offsets."""
    basis, batch = fits.basis, len(fits.points)
    turn, growth, shift = POSE_SIGMA
    pose_sigma = torch.tensor([turn] * 3 + [growth] + [shift] * 2 + [0.0])
    return [
        basis.mean,
        basis.modes,
        torch.arange(basis.vertex_count)[:, None],
        torch.zeros(0, 2),
        basis.mean.mean(dim=0),
        fits.points,
        fits.sigma,
        fits.start,
        pose_sigma.expand(batch, -1),
        fits.prior.mean,
        fits.prior.precision.expand(batch, -1).clone(),
        torch.zeros(0),
        torch.zeros(0, dtype=torch.int64),
    ]


def _cross(w: Tensor) -> Tensor:
    x, y, z = w.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack((o, -z, y, z, o, -x, -y, x, o), dim=-1).unflatten(-1, (3, 3))
