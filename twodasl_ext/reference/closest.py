"""closest_point_on_mesh by brute force: every point against every triangle, a chunk of points at a time."""

from __future__ import annotations

import torch
from torch import Tensor

_CHUNK = 1 << 20


def closest_point_on_mesh(
    points: Tensor, vertices: Tensor, triangles: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Squared distances (B, M), triangles (B, M), barycentric coordinates (B, M, 3); single ones likewise.

    The distance to a triangle is the least of those to its three edges and, where the projection falls
    inside, to its plane. All in float64, whatever the inputs' dtype, which is also the results'.
    """
    if points.dim() == 2:
        parts = closest_point_on_mesh(points[None], vertices[None], triangles)
        return parts[0][0], parts[1][0], parts[2][0]
    batch, count = points.shape[:2]
    if count == 0 or batch == 0:
        shape = (batch, count)
        return points.new_zeros(shape), triangles.new_zeros(shape), points.new_zeros((*shape, 3))
    if not len(triangles):
        raise ValueError("triangles: expected at least one for the points, got none")
    rows, weights = [], []
    for b in range(batch):
        corners = vertices[b].detach().double()[triangles]
        # A power of two, so that nothing overflows or vanishes in the products.
        largest = corners.abs().amax()
        scale = torch.exp2(-torch.floor(torch.log2(largest))) if largest > 0 else torch.ones_like(largest)
        row, weight = _search(points[b].detach().double() * scale, corners * scale)
        rows.append(row)
        weights.append(weight)
    triangle, barycentrics = torch.stack(rows), torch.stack(weights).to(points.dtype)
    chosen = triangles[triangle]  # (B, M, 3)
    corners = vertices[torch.arange(batch, device=points.device)[:, None, None], chosen]
    # The weights add up to 1: differences first, which are smaller than coordinates.
    away = (barycentrics.double()[..., None] * (points[:, :, None].double() - corners.double())).sum(dim=2)
    return away.square().sum(dim=-1).to(points.dtype), triangle, barycentrics


def distances_to_triangles(points: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances (M, F) of points (M, 3) to triangles (F, 3, 3), and their weights (M, F, 3)."""
    p = points[:, None]
    a, b, c = corners.unbind(dim=1)
    zero = torch.zeros((), dtype=points.dtype, device=points.device)
    best = torch.full((len(points), len(corners)), torch.inf, dtype=points.dtype, device=points.device)
    weights = torch.zeros(*best.shape, 3, dtype=points.dtype, device=points.device)

    def offer(away: Tensor, candidate: Tensor, where: Tensor | None = None) -> None:
        nonlocal best, weights
        squared = away.square().sum(dim=-1)
        better = squared < best if where is None else (squared < best) & where
        best = torch.where(better, squared, best)
        weights = torch.where(better[..., None], candidate, weights)

    for i, j in ((0, 1), (0, 2), (1, 2)):
        # From the lower corner to the higher one, whichever triangle the edge is seen from.
        start, end = (a, b, c)[i], (a, b, c)[j]
        swap = _comes_after(start, end)[:, None]
        first, last = torch.where(swap, end, start), torch.where(swap, start, end)
        edge = last - first
        length = edge.square().sum(dim=-1)
        t = ((p - first) * edge).sum(dim=-1) / torch.where(length > 0, length, 1.0)
        t = t.clamp(0.0, 1.0)
        candidate = torch.zeros_like(weights)
        flipped = swap[:, 0].expand_as(t)
        candidate[..., i] = torch.where(flipped, t, 1 - t)
        candidate[..., j] = torch.where(flipped, 1 - t, t)
        away = torch.where((t < 1)[..., None], (p - first) - t[..., None] * edge, p - last)
        offer(away, candidate)
    normal = torch.linalg.cross(b - a, c - a)
    area = normal.square().sum(dim=-1)
    flat = area == 0
    area = torch.where(flat, 1.0, area)
    v = ((p - a) * torch.linalg.cross(c - a, normal)).sum(dim=-1) / area
    w = ((p - a) * torch.linalg.cross(normal, b - a)).sum(dim=-1) / area
    inside = (v > zero) & (w > zero) & (v + w < 1) & ~flat
    offer(
        (p - a) - v[..., None] * (b - a) - w[..., None] * (c - a), torch.stack((1 - v - w, v, w), -1), inside
    )
    return best, weights


def _comes_after(a: Tensor, b: Tensor) -> Tensor:
    """Whether a (F, 3) comes after b in the order by x, then y, then z."""
    after, equal = a > b, a == b
    return after[:, 0] | (equal[:, 0] & (after[:, 1] | (equal[:, 1] & after[:, 2])))


def _search(points: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
    """(M,) the index of the least (distance, index), and (M, 3) the weights there."""
    rows, weights = [], []
    for part in points.split(max(1, _CHUNK // len(corners))):
        squared, candidate = distances_to_triangles(part, corners)
        numbers = torch.arange(len(corners), device=points.device)
        least = squared.amin(dim=1, keepdim=True)
        row = torch.where(squared == least, numbers, len(corners)).amin(dim=1)
        rows.append(row)
        weights.append(candidate[torch.arange(len(part), device=points.device), row])
    return torch.cat(rows), torch.cat(weights)
