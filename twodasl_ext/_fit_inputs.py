"""What fit_landmarks is given, checked and brought to the operator's shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ._arguments import as_tensor, real_number, whole_number
from ._checks import as_compute, check_device, check_tensor, shape_text
from ._dispatch import has_values
from .fit_priors import CoefficientPrior


@dataclass(frozen=True)
class Perspective:
    """A pinhole camera whose lens is known: u = fx X / Z + cx, v = fy Y / Z + cy, looking along +z.

    Attributes:
        fx, fy: focal lengths in pixels, numbers or (B,) tensors.
        cx, cy: where the axis meets the image.
    """

    fx: Any
    fy: Any
    cx: Any
    cy: Any


@dataclass(frozen=True)
class Faces:
    """The operator's tensors that have a row for each face."""

    points: Tensor
    sigma: Tensor
    start: Tensor | None
    pose_sigma: Tensor
    prior_mean: Tensor
    prior_precision: Tensor
    intrinsics: Tensor


def check_faces(
    points: Any, sigma: Any, camera: Any, start: Any, pose_sigma: Any, prior: Any, basis: Any, count: int
) -> Faces:
    """Everything by face, of the basis's dtype and device."""
    points = check_tensor(points, "points")
    if points.dim() != 3 or points.shape[1] != count or points.shape[2] not in (2, 3):
        raise ValueError(
            f"points: expected (B, {count}, 2) or (B, {count}, 3) for {count} vertices, "
            f"got {shape_text(points)}"
        )
    points = _placed(points, "points", basis)
    batch = points.shape[0]
    intrinsics = _check_camera(camera, points)
    return Faces(
        points,
        _check_sigma(sigma, points, basis),
        _check_start(start, batch, basis),
        _check_pose_sigma(pose_sigma, points, intrinsics, basis),
        *_check_prior(prior, batch, basis),
        intrinsics,
    )


def _placed(tensor: Tensor, name: str, basis: Any) -> Tensor:
    check_device(tensor, name, basis.device)
    return as_compute(tensor, name, basis.dtype)


def _visible(tensor: Tensor) -> bool:
    """Whether values can be looked at, without waiting for a device."""
    return tensor.device.type == "cpu" and has_values()


def _check_sigma(sigma: Any, points: Tensor, basis: Any) -> Tensor:
    shape = points.shape[:2]
    if isinstance(sigma, (int, float)) and not isinstance(sigma, bool):
        if not sigma > 0:
            raise ValueError(f"sigma: expected standard deviations > 0, got {sigma}")
        return points.new_full((1, 1), float(sigma)).expand(shape)
    sigma = check_tensor(sigma, "sigma")
    if sigma.dim() not in (1, 2) or tuple(sigma.shape) not in (tuple(shape), tuple(shape[1:])):
        raise ValueError(
            f"sigma: expected {tuple(shape)} or ({shape[1]},) for points {shape_text(points)}, or a number, "
            f"got {shape_text(sigma)}"
        )
    sigma = _placed(sigma, "sigma", basis)
    if _visible(sigma) and bool((sigma <= 0).any()):
        where = (sigma <= 0).nonzero()[0].tolist()
        value = float(sigma[tuple(where)])
        raise ValueError(
            f"sigma: expected standard deviations > 0, got {value:g} at {tuple(where)}; "
            "infinity takes a point out"
        )
    return sigma.expand(shape)


def _check_camera(camera: Any, points: Tensor) -> Tensor:
    dimensions = points.shape[2]
    if camera is None:
        camera = "orthographic" if dimensions == 2 else "space"
    if isinstance(camera, Perspective):
        if dimensions != 2:
            raise ValueError(
                f"camera: expected None for points in space {shape_text(points)}, got {camera!r}"
            )
        return _intrinsics(camera, points)
    if camera not in ("orthographic", "space"):
        raise ValueError(f"camera: expected 'orthographic', 'space' or Perspective(...), got {camera!r}")
    if (camera == "space") != (dimensions == 3):
        wanted = 3 if camera == "space" else 2
        raise ValueError(f"points: expected (B, L, {wanted}) for camera {camera!r}, got {shape_text(points)}")
    return points.new_zeros(0)


def _intrinsics(camera: Perspective, points: Tensor) -> Tensor:
    parts = []
    for name in ("fx", "fy", "cx", "cy"):
        value, title = getattr(camera, name), f"camera's {name}"
        if isinstance(value, Tensor) and value.dim():
            if value.shape != points.shape[:1]:
                raise ValueError(
                    f"{title}: expected a number or ({points.shape[0]},), got {shape_text(value)}"
                )
            check_device(value, title, points.device)
            part = value.detach().to(points.dtype)
        else:
            number = real_number(value, title, "a number or a tensor (B,)")
            if not math.isfinite(number) or (number == 0 and name in ("fx", "fy")):
                raise ValueError(f"{title}: expected a finite number that is not 0, got {number}")
            part = points.new_full((1,), number)
        parts.append(part)
    return torch.stack(torch.broadcast_tensors(*parts), dim=1).expand(points.shape[0], 4)


def _check_start(start: Any, batch: int, basis: Any) -> Tensor | None:
    if start is None:
        return None
    start = check_tensor(start, "start")
    if tuple(start.shape) != (batch, 3, 4):
        raise ValueError(f"start: expected ({batch}, 3, 4) or None, got {shape_text(start)}")
    start = _placed(start, "start", basis)
    _check_finite(start, "start")
    return start


def _check_finite(tensor: Tensor, name: str) -> None:
    if _visible(tensor) and not bool(tensor.isfinite().all()):
        face = (~tensor.isfinite()).nonzero()[0].tolist()
        raise ValueError(
            f"{name}: expected finite numbers, got {float(tensor[tuple(face)])} at {tuple(face)}"
        )


def _check_pose_sigma(pose_sigma: Any, points: Tensor, intrinsics: Tensor, basis: Any) -> Tensor:
    """(B, 7) turn (3), growth, shift (3): 0 for what is held."""
    batch, dimensions = points.shape[0], points.shape[2]
    planar = dimensions == 2 and intrinsics.dim() == 1
    if pose_sigma is None:
        found = points.new_full((1, 7), math.inf)
        if intrinsics.dim() == 2:
            found[:, 3].zero_()
    elif isinstance(pose_sigma, (tuple, list)):
        turn, growth, shift = _three(pose_sigma)
        found = points.new_full((1, 7), turn)
        found[:, 3].fill_(growth)
        found[:, 4:].fill_(shift)
    else:
        found = check_tensor(as_tensor(pose_sigma, "pose_sigma"), "pose_sigma")
        if tuple(found.shape) not in ((7,), (batch, 7)):
            raise ValueError(
                "pose_sigma: expected three numbers (turn, growth, shift), (7,) or "
                f"({batch}, 7), got {shape_text(found)}"
            )
        found = _placed(found, "pose_sigma", basis).reshape(-1, 7)
        if _visible(found) and not bool((found >= 0).all()):
            raise ValueError(
                "pose_sigma: expected standard deviations >= 0, 0 for what is held, got less or NaN"
            )
    if planar:
        found = torch.cat((found[:, :6], torch.zeros_like(found[:, :1])), dim=1)
    return found.expand(batch, 7)


def _three(pose_sigma: Any) -> list[float]:
    if len(pose_sigma) != 3:
        raise ValueError(
            f"pose_sigma: expected three numbers (turn, growth, shift), or a tensor, got {len(pose_sigma)}"
        )
    numbers = [
        real_number(value, "pose_sigma", "three numbers (turn, growth, shift)") for value in pose_sigma
    ]
    if not all(number >= 0 for number in numbers):
        raise ValueError(
            f"pose_sigma: expected standard deviations >= 0, 0 for what is held, got {pose_sigma}"
        )
    return numbers


def _check_prior(prior: Any, batch: int, basis: Any) -> tuple[Tensor, Tensor]:
    """Mean (B, K), precision (B, K) or (B, K, K)."""
    modes = basis.mode_count
    if prior is None:
        none = torch.zeros(1, modes, dtype=basis.dtype, device=basis.device).expand(batch, modes)
        return none, none
    if not isinstance(prior, CoefficientPrior):
        raise TypeError(f"prior: expected a CoefficientPrior or None, got {type(prior).__name__}")
    found = []
    for name, tensor in (("mean", prior.mean), ("precision", prior.precision)):
        title = f"prior's {name}"
        if tensor.shape[-1] != modes:
            raise ValueError(
                f"{title}: expected (..., {modes}) for a basis of {modes} modes, got {shape_text(tensor)}"
            )
        tensor = _placed(tensor, title, basis)
        tensor = tensor if tensor.dim() > 1 else tensor[None]
        if tensor.shape[0] != 1 and tensor.shape[0] != batch:
            raise ValueError(
                f"{title}: expected one row or {batch} for as many faces, got {shape_text(tensor)}"
            )
        _check_finite(tensor, title)
        found.append(tensor)
    mean, precision = found
    if precision.dim() == 3:
        precision = (precision + precision.mT) / 2
    own = precision if precision.dim() == 2 else precision.diagonal(dim1=1, dim2=2)
    if _visible(own) and bool((own < 0).any()):
        raise ValueError(f"prior's precision: expected numbers >= 0, got {float(own.min()):g}")
    return mean.expand(batch, modes), precision.expand(batch, *precision.shape[1:])


def check_options(robust: Any, iterations: Any, tolerance: Any) -> tuple[float, int, float]:
    """Numbers that are the same for all faces."""
    limit = real_number(robust, "robust", "a number > 0, infinity for least squares")
    if not limit > 0:
        raise ValueError(f"robust: expected a number > 0, infinity for least squares, got {robust!r}")
    rounds = whole_number(iterations, "iterations", "an integer >= 0")
    if rounds < 0:
        raise ValueError(f"iterations: expected an integer >= 0, got {rounds}")
    least = real_number(tolerance, "tolerance", "a number >= 0")
    if not 0 <= least < math.inf:
        raise ValueError(f"tolerance: expected a number >= 0, got {tolerance!r}")
    return limit, rounds, least
