"""rasterize by brute force: every triangle at every pixel, in double precision."""

from __future__ import annotations

import torch
from torch import Tensor


def _edge(a: Tensor, b: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The edge function of (a, b), each (..., 2), from the smaller (y, x) end; and that order's sign."""
    ordered = (a[..., 1] < b[..., 1]) | ((a[..., 1] == b[..., 1]) & (a[..., 0] <= b[..., 0]))
    p, q = torch.where(ordered[..., None], a, b), torch.where(ordered[..., None], b, a)
    d = q - p
    value = d[..., 0] * (y - p[..., 1]) - d[..., 1] * (x - p[..., 0])
    return value, torch.where(ordered, 1.0, -1.0).to(value)


def rasterize(
    vertices: Tensor, triangles: Tensor, size: int | tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Triangle index (B, H, W), barycentric coordinates (B, H, W, 3), depth (B, H, W); memory T * H * W."""
    height, width = (size, size) if isinstance(size, int) else size
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij"
    )
    results = [_image(v.to(torch.float64)[triangles], x, y) for v in vertices]
    index, weights, depth = (torch.stack(part) for part in zip(*results, strict=True))
    return index, weights.to(vertices.dtype), depth.to(vertices.dtype)


def _image(corners: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count = corners.shape[0]
    if count == 0:
        empty = torch.zeros(*x.shape, 3, dtype=torch.float64)
        return torch.full(x.shape, -1), empty, torch.full(x.shape, -torch.inf, dtype=torch.float64)
    flat = corners[:, None, None]  # (T, 1, 1, 3, 3)
    a, b, c = (flat[..., i, :2] for i in range(3))
    area, sign = _edge(a, b, c[..., 0], c[..., 1])
    area = area * sign
    orientation = torch.sign(area)
    inside = (area != 0).expand(count, *x.shape)
    sides = []
    for start, end in ((b, c), (c, a), (a, b)):
        value, sign = _edge(start, end, x, y)
        inner = sign * orientation
        side = inner * value
        inside = inside & ((side > 0) | ((side == 0) & (inner > 0)))
        sides.append(side)
    inverse = 1.0 / area.abs()
    w1, w2 = sides[1] * inverse, sides[2] * inverse
    z = flat[..., 2]
    depth = z[..., 0] + (w1 * (z[..., 1] - z[..., 0]) + w2 * (z[..., 2] - z[..., 0]))
    depth = torch.where(inside, depth, -torch.inf)
    best, index = depth.max(dim=0)
    # max() may give any of several equal depths; the lowest triangle index is the rule.
    index = (depth == best).to(torch.uint8).argmax(dim=0)
    covered = inside.any(dim=0)
    u, v = w1.gather(0, index[None])[0], w2.gather(0, index[None])[0]
    weights = torch.stack((1.0 - u - v, u, v), dim=-1)
    return (
        torch.where(covered, index, -1),
        torch.where(covered[..., None], weights, 0.0),
        best,
    )
