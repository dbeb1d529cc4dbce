"""nearest_neighbors by brute force: every query against every point, a chunk of queries at a time."""

from __future__ import annotations

import torch
from torch import Tensor

SHRINK = {torch.float32: 2.0**-66, torch.float64: 2.0**-514}
"""A factor that scales any coordinates of a dtype so that no squared distance overflows."""

_CHUNK = 1 << 22


def nearest_neighbors(
    query: Tensor,
    points: Tensor,
    *,
    lengths: Tensor | None = None,
    query_lengths: Tensor | None = None,
    hint: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Squared distances (B, M) and indices (B, M), or (M,) each for (M, 3) and (P, 3); a hint is ignored."""
    if query.dim() == 2:
        distances, indices = nearest_neighbors(query[None], points[None])
        return distances[0], indices[0]
    batch, queries, capacity = query.shape[0], query.shape[1], points.shape[1]
    known = [capacity] * batch if lengths is None else lengths.tolist()
    asked = [queries] * batch if query_lengths is None else query_lengths.tolist()
    indices = torch.full((batch, queries), -1, device=query.device)
    for b in range(batch):
        indices[b, : asked[b]] = _indices(query[b, : asked[b]].detach(), points[b, : known[b]].detach())
    real = indices >= 0
    if capacity == 0:
        return query.new_zeros(batch, queries), indices
    chosen = points.gather(1, indices.clamp(min=0)[..., None].expand(-1, -1, 3))
    return squared(torch.where(real[..., None], query - chosen, 0.0)), indices


def squared(d: Tensor) -> Tensor:
    """(dx dx + dy dy) + dz dz, each operation rounded once, of differences (..., 3)."""
    s = d * d
    return (s[..., 0] + s[..., 1]) + s[..., 2]


def _indices(query: Tensor, points: Tensor) -> Tensor:
    """(M,) the index of the least (distance, index)."""
    if not len(query):
        return torch.zeros(0, dtype=torch.int64, device=query.device)
    if not len(points):
        raise ValueError("points: expected at least one for the queries, got none")
    shrink = SHRINK[query.dtype]
    numbers = torch.arange(len(points), device=points.device)
    found = []
    for part in query.split(max(1, _CHUNK // len(points))):
        d = squared(part[:, None] - points)
        best = d.amin(dim=1)
        far = best == torch.inf
        if far.any():
            d[far] = squared(part[far][:, None] * shrink - points * shrink)
            best = d.amin(dim=1)
        found.append(torch.where(d == best[:, None], numbers, len(points)).amin(dim=1))
    return torch.cat(found)
