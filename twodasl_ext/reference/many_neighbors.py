"""k_nearest_neighbors by brute force: every query against every point, a chunk of queries at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from .neighbors import SHRINK, squared

_CHUNK = 1 << 22


def k_nearest_neighbors(
    query: Tensor, points: Tensor, k: int, *, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Squared distances (B, M, k) and indices (B, M, k), or (M, k) each; infinity and -1 past `lengths`."""
    if query.dim() == 2:
        distances, indices = k_nearest_neighbors(query[None], points[None], k)
        return distances[0], indices[0]
    batch, queries, capacity = query.shape[0], query.shape[1], points.shape[1]
    if k > capacity:
        raise ValueError(f"k: expected at most {capacity}, the number of points, got {k}")
    known = [capacity] * batch if lengths is None else lengths.tolist()
    indices = torch.full((batch, queries, k), -1, device=query.device)
    for b in range(batch):
        found = _indices(query[b].detach(), points[b, : known[b]].detach(), k)
        indices[b, :, : found.shape[1]] = found
    real = indices >= 0
    rows = indices.clamp(min=0).flatten(1)[..., None].expand(-1, -1, 3)
    chosen = points.gather(1, rows).reshape(batch, queries, k, 3)
    away = torch.where(real[..., None], query[:, :, None] - chosen, 0.0)
    return torch.where(real, squared(away), torch.inf), indices


def _indices(query: Tensor, points: Tensor, k: int) -> Tensor:
    """(M, min(k, P)) by (distance, index); those that overflow by the distance of smaller numbers."""
    most = min(k, len(points))
    shrink = SHRINK[query.dtype]
    found = [torch.zeros(0, most, dtype=torch.int64, device=query.device)]
    for part in query.split(max(1, _CHUNK // max(1, len(points)))):
        d = squared(part[:, None] - points)
        order = d.argsort(dim=1, stable=True)
        far = torch.isinf(d).any(dim=1)
        if far.any():
            small = squared(part[far][:, None] * shrink - points * shrink)
            first = small.argsort(dim=1, stable=True)
            # Stable: what is infinite keeps the order of the smaller numbers.
            order[far] = first.gather(1, d[far].gather(1, first).argsort(dim=1, stable=True))
            # And what is not has its own, in which equal distances are ordered by index.
            finite = torch.isfinite(d[far].gather(1, order[far]))
            plain = d[far].argsort(dim=1, stable=True)
            order[far] = torch.where(finite, plain, order[far])
        found.append(order[:, :most])
    return torch.cat(found)
