"""What iterative_closest_point is given, checked: clouds, lengths, normals, options, the start."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ._arguments import INTEGERS, as_indices, real_number, shown
from ._checks import check_device, check_float, check_indices, check_tensor, shape_text
from ._values import seen
from .rotation import nearest_rotations


@dataclass(frozen=True)
class Clouds:
    """Source (B, N, 3) and target (B, P, 3), how many points of each count, and the target's normals."""

    source: Tensor
    target: Tensor
    source_counts: Tensor
    target_counts: Tensor
    normals: Tensor | None
    unbatched: bool


def check_clouds(
    source: Any,
    target: Any,
    source_lengths: Any,
    target_lengths: Any,
    normals: Any,
    triangles: Any,
    method: str,
) -> Clouds:
    """Both clouds as (B, N, 3) and (B, P, 3) of one dtype and device, finite where they count."""
    unbatched = isinstance(source, Tensor) and source.dim() == 2
    source = check_cloud(source, "source")
    target = check_cloud(target, "target", like=source, unbatched=unbatched)
    source_counts = check_lengths(source_lengths, "source_lengths", source, "source", unbatched)
    target_counts = check_lengths(target_lengths, "target_lengths", target, "target", unbatched)
    check_finite(source, source_counts, "source", unbatched)
    check_finite(target, target_counts, "target", unbatched)
    if method != "plane":
        for value, name in ((normals, "normals"), (triangles, "triangles")):
            if value is not None:
                raise ValueError(f"{name}: expected None with method='point', which has no use for them")
        return Clouds(source, target, source_counts, target_counts, None, unbatched)
    if (normals is None) == (triangles is None):
        both = "neither" if normals is None else "both"
        raise ValueError(
            f"normals: expected the target's normals, or its triangles=, with method='plane'; got {both}"
        )
    if normals is None:
        found = vertex_normals(target, _check_triangles(triangles, target))
    else:
        found = check_cloud(normals, "normals", like=target, unbatched=unbatched)
        if found.shape != target.shape:
            raise ValueError(
                f"normals: expected {shape_text(target)} like the target, got {shape_text(found)}"
            )
        check_finite(found, target_counts, "normals", unbatched)
        found = _unit(found)
    return Clouds(source, target, source_counts, target_counts, found, unbatched)


def check_cloud(value: Any, name: str, like: Tensor | None = None, unbatched: bool = False) -> Tensor:
    """(B, N, 3) of the dtype, device and batch of `like`; (N, 3) becomes (1, N, 3)."""
    cloud = check_tensor(value, name)
    ranks = (2, 3) if like is None else ((2,) if unbatched else (3,))
    if cloud.dim() not in ranks or cloud.shape[-1] != 3:
        expected = {(2, 3): "(B, N, 3) or (N, 3)", (2,): "(P, 3)", (3,): "(B, P, 3)"}[ranks]
        raise ValueError(f"{name}: expected {expected}, got {shape_text(cloud)}")
    check_float(cloud, name)
    check_device(cloud, name)
    cloud = cloud.detach()
    cloud = cloud[None] if cloud.dim() == 2 else cloud
    if like is not None:
        if cloud.shape[0] != like.shape[0]:
            raise ValueError(
                f"{name}: expected a batch of {like.shape[0]} like source, got {shape_text(cloud)}"
            )
        if cloud.dtype != like.dtype:
            raise TypeError(f"{name}: expected {like.dtype} like source, got {cloud.dtype}")
        if cloud.device != like.device:
            raise ValueError(f"{name}: expected device {like.device} like source, got {cloud.device}")
    if cloud.shape[0] and not cloud.shape[1]:
        raise ValueError(f"{name}: expected at least one point, got {shape_text(cloud)}")
    return cloud.contiguous()


def check_lengths(lengths: Any, name: str, cloud: Tensor, of: str, unbatched: bool) -> Tensor:
    """(B,) int64 in [1, N], where values are looked at; N where None was given."""
    batch, count = cloud.shape[:2]
    if lengths is None:
        return torch.full((batch,), count, dtype=torch.int64, device=cloud.device)
    lengths = check_tensor(as_indices(lengths, name, cloud.device), name)
    if unbatched:
        raise ValueError(f"{name}: expected None for a single cloud (N, 3), got {shape_text(lengths)}")
    if lengths.dtype not in INTEGERS:
        raise TypeError(f"{name}: expected integers, got {lengths.dtype}")
    if lengths.shape != (batch,):
        raise ValueError(
            f"{name}: expected ({batch},) for {of} {shape_text(cloud)}, got {shape_text(lengths)}"
        )
    if lengths.device != cloud.device:
        raise ValueError(f"{name}: expected device {cloud.device} like {of}, got {lengths.device}")
    if batch and seen(lengths) and not (int(lengths.min()) >= 1 and int(lengths.max()) <= count):
        wrong = int(lengths.min()) if int(lengths.min()) < 1 else int(lengths.max())
        raise ValueError(f"{name}: expected lengths in [1, {count}], got {wrong}")
    return lengths.to(torch.int64)


def check_finite(cloud: Tensor, counts: Tensor, name: str, unbatched: bool) -> None:
    """ValueError that names the first point that counts and is not finite, where values are looked at."""
    # One pass; overflow sends good numbers on to the slow look, no more.
    if not seen(cloud) or bool(torch.isfinite(cloud.sum())):
        return
    inside = torch.arange(cloud.shape[1], device=cloud.device) < counts[:, None]
    wrong = (~torch.isfinite(cloud).all(dim=2) & inside).nonzero()
    if len(wrong):
        element, point = wrong[0].tolist()
        where = f"point {point}" + ("" if unbatched else f" of batch element {element}")
        raise ValueError(f"{name}: expected finite numbers, got {cloud[element, point].tolist()} at {where}")


def _check_triangles(triangles: Any, target: Tensor) -> Tensor:
    triangles = check_tensor(as_indices(triangles, "triangles", target.device), "triangles")
    if triangles.dim() != 2 or triangles.shape[1] != 3:
        raise ValueError(f"triangles: expected (T, 3), got {shape_text(triangles)}")
    look_at = triangles if seen(triangles) else triangles[:0]
    check_indices(look_at.flatten(), target.shape[1], "triangles")
    if triangles.device != target.device:
        raise ValueError(f"triangles: expected device {target.device} like target, got {triangles.device}")
    return triangles.to(torch.int64)


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """(B, P, 3) unit normals: the area-weighted mean over a vertex's triangles, zeros where it has none.

    A triangle that names no vertex is an error on the CPU; elsewhere some normals are NaN.
    """
    if seen(vertices):
        a, b, c = (vertices[:, triangles[:, corner]] for corner in range(3))
        area = torch.linalg.cross(b - a, c - a)
        normals = torch.zeros_like(vertices)
        for corner in range(3):
            normals.index_add_(1, triangles[:, corner], area)
        return _unit(normals)
    batch, count = vertices.shape[:2]
    if not batch:
        return torch.zeros_like(vertices)
    inside = triangles.clamp(0, count - 1)
    a, b, c = (vertices[:, inside[:, corner]] for corner in range(3))
    known = (inside == triangles).all(dim=1)
    area = torch.where(known[:, None], torch.linalg.cross(b - a, c - a), torch.nan).transpose(0, 1)
    by_vertex = vertices.new_zeros(count, batch, 3)
    for corner in range(3):  # sorted sums: the same bits every time, which index_add_ does not promise
        by_vertex.index_put_((inside[:, corner],), area, accumulate=True)
    return _unit(by_vertex.transpose(0, 1).contiguous())


def _unit(normals: Tensor) -> Tensor:
    # To entries of size one first, so that no square overflows or vanishes.
    largest = normals.abs().amax(dim=2, keepdim=True)
    normals = normals / torch.where(largest > 0, largest, 1)
    length = normals.norm(dim=2, keepdim=True)
    return normals / torch.where(length > 0, length, 1)


def check_number(value: Any, name: str, low: float, high: float, expected: str) -> float:
    """A number in [low, high)."""
    number = real_number(value, name, expected)
    if not low <= number < high:
        raise ValueError(f"{name}: expected {expected}, got {shown(value)}")
    return number


def parts_of_start(initialize: Any) -> Any:
    """(rotation, translation, scale) of an earlier registration; anything else as it is."""
    if hasattr(initialize, "rotation"):
        return initialize.rotation, initialize.translation, initialize.scale
    return initialize


def check_start(initialize: Any, clouds: Clouds) -> Tensor | str:
    """ "centroids", "identity", or the pose (B, 13) in float64 of (rotation, translation[, scale])."""
    if isinstance(initialize, str):
        if initialize not in ("centroids", "identity"):
            raise ValueError(
                "initialize: expected 'centroids', 'identity' or (rotation, translation[, scale]), "
                f"got {shown(initialize)}"
            )
        return initialize
    initialize = parts_of_start(initialize)
    if not isinstance(initialize, (tuple, list)) or len(initialize) not in (2, 3):
        raise TypeError(
            "initialize: expected 'centroids', 'identity', (rotation, translation[, scale]) or an ICPResult, "
            f"got {type(initialize).__name__}"
        )
    batch = clouds.source.shape[0]
    names, shapes = ("rotation", "translation", "scale"), ((3, 3), (3,), ())
    parts = []
    for value, name, shape in zip(initialize, names, shapes, strict=False):
        title = f"initialize's {name}"
        tensor = check_tensor(value, title).detach()
        wanted = shape if clouds.unbatched else (batch, *shape)
        if tuple(tensor.shape) != wanted:
            raise ValueError(f"{title}: expected {wanted}, got {shape_text(tensor)}")
        check_float(tensor, title)
        if tensor.device != clouds.source.device:
            raise ValueError(
                f"{title}: expected device {clouds.source.device} like source, got {tensor.device}"
            )
        if seen(tensor) and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{title}: expected finite numbers, got NaN or infinity")
        parts.append(tensor.to(torch.float64).reshape(batch, math.prod(shape)))
    rotation = parts[0].reshape(batch, 3, 3)
    departure = (rotation @ rotation.mT - torch.eye(3, dtype=torch.float64, device=rotation.device)).abs()
    handedness = (torch.linalg.cross(rotation[:, 0], rotation[:, 1]) * rotation[:, 2]).sum(dim=1)
    proper = (departure <= 1e-3).all(dim=2).all(dim=1) & (handedness >= 0)
    if len(parts) == 2:
        parts.append(torch.ones(batch, 1, dtype=torch.float64, device=rotation.device))
    positive = parts[2] > 0
    if seen(rotation):
        if not bool(proper.all()):
            raise ValueError("initialize's rotation: expected orthonormal matrices of determinant +1")
        if not bool(positive.all()):
            raise ValueError(f"initialize's scale: expected positive numbers, got {float(parts[2].min())}")
    parts[0] = nearest_rotations(rotation).flatten(1)  # to the last bit
    pose = torch.cat(parts, dim=1)
    return pose if seen(rotation) else torch.where(proper[:, None] & positive, pose, torch.nan)
