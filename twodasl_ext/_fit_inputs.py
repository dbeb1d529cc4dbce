"""What fit_landmarks is given, checked and brought to the operator's shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._arguments import as_tensor, real_number, whole_number
from ._checks import as_compute, check_device, check_tensor, shape_text
from ._dispatch import can_look
from .fit_priors import CoefficientPrior

# One over the square of a smaller standard deviation is beyond the largest number, with a residual's square.
_LEAST_SIGMA = {torch.float32: 1e-15, torch.float64: 1e-120}
_LEAST_ROBUST = 1e-6
# Focal lengths and centers in the unit of the points, beyond any camera's.
_LEAST_LENS, _MOST_LENS = 1e-6, 1e9


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
    points = _given(points, "points", basis)
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


def _given(value: Any, name: str, basis: Any) -> Tensor:
    """A tensor as it is; a list or an array as one of the basis's dtype, on its device."""
    if isinstance(value, Tensor):
        return check_tensor(value, name)
    tensor = as_tensor(value, name)
    if tensor.is_complex():
        raise TypeError(f"{name}: expected real numbers, got {tensor.dtype}")
    return tensor.to(basis.device, basis.dtype)


def _has_rows(value: Any) -> bool:
    """Whether it is more than one number."""
    if isinstance(value, (Tensor, np.ndarray)):
        return len(value.shape) > 0
    return isinstance(value, (list, tuple))


def _placed(tensor: Tensor, name: str, basis: Any) -> Tensor:
    check_device(tensor, name, basis.device)
    return as_compute(tensor, name, basis.dtype)


def _check_sigma(sigma: Any, points: Tensor, basis: Any) -> Tensor:
    shape, least = points.shape[:2], _LEAST_SIGMA[points.dtype]
    if not _has_rows(sigma) and not isinstance(sigma, Tensor):
        number = real_number(sigma, "sigma", "standard deviations > 0")
        if not number >= least:
            raise ValueError(f"sigma: expected standard deviations of at least {least:g}, got {sigma}")
        # Beyond the largest number of this type: not seen, as infinity and NaN.
        number = number if number < torch.finfo(points.dtype).max else math.inf
        return points.new_full((1, 1), number).expand(shape)
    sigma = _given(sigma, "sigma", basis)
    if sigma.dim() == 0:
        sigma = sigma.to(points).expand(shape[1:])
    if sigma.dim() not in (1, 2) or tuple(sigma.shape) not in (tuple(shape), tuple(shape[1:])):
        raise ValueError(
            f"sigma: expected {tuple(shape)} or ({shape[1]},) for points {shape_text(points)}, or a number, "
            f"got {shape_text(sigma)}"
        )
    sigma = _placed(sigma, "sigma", basis)
    if can_look(sigma) and bool((sigma < least).any()):
        where = (sigma < least).nonzero()[0].tolist()
        value = float(sigma[tuple(where)])
        raise ValueError(
            f"sigma: expected standard deviations of at least {least:g}, got {value:g} at {tuple(where)}; "
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
    if not isinstance(camera, str) or camera not in ("orthographic", "space"):
        raise ValueError(f"camera: expected 'orthographic', 'space' or Perspective(...), got {camera!r}")
    if (camera == "space") != (dimensions == 3):
        wanted = 3 if camera == "space" else 2
        raise ValueError(f"points: expected (B, L, {wanted}) for camera {camera!r}, got {shape_text(points)}")
    return points.new_zeros(0)


def _intrinsics(camera: Perspective, points: Tensor) -> Tensor:
    parts = []
    for name in ("fx", "fy", "cx", "cy"):
        value, title = getattr(camera, name), f"camera's {name}"
        low = _LEAST_LENS if name in ("fx", "fy") else 0.0
        if _has_rows(value):
            if isinstance(value, Tensor):
                check_device(value, title, points.device)
            part = as_tensor(value, title)
            if part.shape != points.shape[:1]:
                raise ValueError(
                    f"{title}: expected a number or ({points.shape[0]},), got {shape_text(part)}"
                )
            if part.is_complex():
                raise TypeError(f"{title}: expected real numbers, got {part.dtype}")
            part = part.detach().to(points.device, points.dtype)
            if can_look(part) and not bool(((part.abs() >= low) & (part.abs() <= _MOST_LENS)).all()):
                raise ValueError(f"{title}: expected numbers from {low:g} to {_MOST_LENS:g} in size")
        else:
            number = real_number(value, title, "a number or a tensor (B,)")
            if not low <= abs(number) <= _MOST_LENS:
                raise ValueError(
                    f"{title}: expected a number from {low:g} to {_MOST_LENS:g} in size, got {number}"
                )
            part = points.new_full((1,), number)
        parts.append(part)
    return torch.stack(torch.broadcast_tensors(*parts), dim=1).expand(points.shape[0], 4)


def _check_start(start: Any, batch: int, basis: Any) -> Tensor | None:
    if start is None:
        return None
    start = _given(start, "start", basis)
    if tuple(start.shape) != (batch, 3, 4):
        raise ValueError(f"start: expected ({batch}, 3, 4) or None, got {shape_text(start)}")
    start = _placed(start, "start", basis)
    _check_finite(start, "start")
    return start


def _check_finite(tensor: Tensor, name: str) -> None:
    if can_look(tensor) and not bool(tensor.isfinite().all()):
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
    elif isinstance(pose_sigma, (tuple, list)) and len(pose_sigma) != 7:
        most = torch.finfo(points.dtype).max
        turn, growth, shift = (n if n < most else math.inf for n in _three(pose_sigma))
        found = points.new_full((1, 7), turn)
        found[:, 3].fill_(growth)
        found[:, 4:].fill_(shift)
    else:
        found = _given(pose_sigma, "pose_sigma", basis)
        if tuple(found.shape) not in ((7,), (batch, 7)):
            raise ValueError(
                "pose_sigma: expected three numbers (turn, growth, shift), (7,) or "
                f"({batch}, 7), got {shape_text(found)}"
            )
        found = _placed(found, "pose_sigma", basis).reshape(-1, 7)
        if can_look(found) and not bool((found >= 0).all()):
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
    if can_look(own) and bool((own < 0).any()):
        raise ValueError(f"prior's precision: expected numbers >= 0, got {float(own.min()):g}")
    return mean.expand(batch, modes), precision.expand(batch, *precision.shape[1:])


def check_options(robust: Any, iterations: Any, tolerance: Any) -> tuple[float, int, float]:
    """Numbers that are the same for all faces."""
    limit = real_number(robust, "robust", "a number > 0, infinity for least squares")
    if not limit >= _LEAST_ROBUST:
        raise ValueError(
            f"robust: expected a number from {_LEAST_ROBUST:g}, infinity for least squares, got {robust!r}"
        )
    wanted = "an integer from 0 to 2^63 - 1"
    rounds = whole_number(iterations, "iterations", wanted)
    if rounds < 0:
        raise ValueError(f"iterations: expected {wanted}, got {rounds}")
    least = real_number(tolerance, "tolerance", "a number >= 0")
    if not 0 <= least < math.inf:
        raise ValueError(f"tolerance: expected a number >= 0, got {tolerance!r}")
    return limit, rounds, least
