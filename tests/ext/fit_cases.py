"""Faces whose points, priors and groups are known, for every test of fit_landmarks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

import twodasl_ext as te

CAMERAS = ("orthographic", "perspective", "space")
INTRINSICS = (1000.0, 1100.0, 320.0, 240.0)


@dataclass(frozen=True)
class Fit:
    """The arguments of one call, and what its points were made of."""

    basis: te.MorphableBasis
    points: Tensor
    sigma: Tensor
    pose: Tensor
    coefficients: Tensor
    options: dict[str, Any] = field(default_factory=dict)

    def run(self, **changes: Any) -> te.LandmarkFit:
        """The fit, with some arguments changed."""
        options = {**self.options, **changes}
        points, sigma = options.pop("points", self.points), options.pop("sigma", self.sigma)
        return te.fit_landmarks(options.pop("basis", self.basis), points, sigma, **options)

    def to(self, dtype: torch.dtype) -> Fit:
        """The same numbers in another precision."""

        def narrow(value: Any) -> Any:
            if isinstance(value, te.CoefficientPrior):
                return te.CoefficientPrior(value.mean.to(dtype), value.precision.to(dtype))
            return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

        basis = te.MorphableBasis(self.basis.mean, self.basis.modes, self.basis.landmarks, storage=dtype)
        tensors = {name: narrow(getattr(self, name)) for name in ("points", "sigma", "pose", "coefficients")}
        return replace(self, basis=basis, options={k: narrow(v) for k, v in self.options.items()}, **tensors)


def make_fit(
    camera: str, *, batch: int = 3, count: int = 20, modes: int = 5, noise: float = 1.0, seed: int = 0,
    full_prior: bool = False, dtype: torch.dtype = torch.float64,
) -> Fit:  # fmt: skip
    """Faces with noisy points, a start a little off, and priors of everything."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mean, shapes = normal(count + 7, 3) * 50, normal(modes, count + 7, 3) * 5
    basis = te.MorphableBasis(
        mean, shapes, torch.randperm(count + 7, generator=generator)[:count], storage=dtype
    )
    rotation = te.nearest_rotation(torch.eye(3, dtype=torch.float64) + 0.4 * normal(batch, 3, 3))
    scale = 1.0 if camera == "perspective" else 1.5
    away = torch.tensor([0.0, 0.0, 800.0 if camera == "perspective" else 0.0], dtype=torch.float64)
    pose = torch.cat((scale * rotation, (20 * normal(batch, 3) + away)[..., None]), dim=2)
    coefficients = 0.7 * normal(batch, modes)
    places = te.landmarks(basis.double() if dtype != torch.float64 else basis, coefficients, pose)
    points = places if camera == "space" else project(places, camera)
    points = points + noise * normal(*points.shape)
    spread = 0.8 + torch.rand(batch, modes, generator=generator, dtype=torch.float64)
    precision = spread.square().reciprocal()
    if full_prior:
        factor = normal(batch, modes, modes)
        precision = torch.diag_embed(precision) + factor @ factor.mT / modes
    turned = te.nearest_rotation(torch.eye(3, dtype=torch.float64) + 0.05 * normal(batch, 3, 3))
    start = torch.cat((turned @ pose[:, :, :3], pose[:, :, 3:] + normal(batch, 3, 1)), dim=2)
    options: dict[str, Any] = {
        "start": start,
        "pose_sigma": torch.tensor([0.3, 0.2, 0.25, 0.1, 20.0, 21.0, 30.0], dtype=torch.float64).repeat(
            batch, 1
        ),
        "prior": te.CoefficientPrior(0.1 * normal(batch, modes), precision),
        "iterations": 2000,
        "tolerance": 1e-22,
    }
    if camera == "perspective":
        options["camera"] = te.Perspective(*INTRINSICS)
        options["pose_sigma"][:, 3] = 0
    sigma = 0.7 + torch.rand(batch, count, generator=generator, dtype=torch.float64)
    made = Fit(basis, points, sigma, pose, coefficients, options)
    return made if dtype == torch.float64 else made.to(dtype)


def project(places: Tensor, camera: str) -> Tensor:
    """(..., 3) -> (..., 2)."""
    if camera == "orthographic":
        return places[..., :2]
    fx, fy, cx, cy = INTRINSICS
    scale, middle = places.new_tensor([fx, fy]), places.new_tensor([cx, cy])
    return scale * places[..., :2] / places[..., 2:] + middle


def with_outliers(fit: Fit, distance: float = 40.0) -> Fit:
    """The same with every sixth point pulled away, well beyond Huber's limit."""
    points = fit.points.clone()
    points[:, ::6, 0] += distance
    return replace(fit, points=points)


def operator_arguments(fit: Fit, **changes: Any) -> tuple[Any, ...]:
    """What the facade gives to the operator for this call."""
    from twodasl_ext import fit as facade

    seen: list[tuple[Any, ...]] = []
    real = facade.fit

    def record(*arguments: Any) -> Any:
        seen.append(arguments)
        return real(*arguments)

    facade.fit = record
    try:
        fit.run(**changes)
    finally:
        facade.fit = real
    return seen[0]
