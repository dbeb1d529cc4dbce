"""rasterize in eager PyTorch: every triangle's box of pixels in one list, and two scatters."""

from __future__ import annotations

import torch
from torch import Tensor


def rasterize(vertices: Tensor, triangles: Tensor, size: int) -> Tensor:
    """Index of the nearest triangle, (B, H, W): in float64 as the operator decides coverage."""
    return torch.stack([_image(v.double()[triangles], size) for v in vertices])


def _edge(a: Tensor, b: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    ordered = (a[:, 1] < b[:, 1]) | ((a[:, 1] == b[:, 1]) & (a[:, 0] <= b[:, 0]))
    low, high = torch.where(ordered[:, None], a, b), torch.where(ordered[:, None], b, a)
    d = high - low
    value = d[:, 0] * (p[:, 1] - low[:, 1]) - d[:, 1] * (p[:, 0] - low[:, 0])
    return value, torch.where(ordered, 1.0, -1.0).double()


def _image(corners: Tensor, size: int) -> Tensor:
    first = corners[..., :2].amin(dim=1).ceil().clamp(min=0).long()
    last = corners[..., :2].amax(dim=1).floor().clamp(max=size - 1).long()
    spans = (last - first + 1).clamp(min=0)
    boxes = spans.prod(dim=1)
    triangle = torch.repeat_interleave(torch.arange(len(corners), device=corners.device), boxes)
    place = torch.arange(len(triangle), device=corners.device) - (boxes.cumsum(0) - boxes)[triangle]
    width = spans[triangle, 0]
    x, y = (
        first[triangle, 0] + place % width,
        first[triangle, 1] + torch.div(place, width, rounding_mode="floor"),
    )
    point = torch.stack((x, y), dim=1).double()
    flat = corners[triangle]
    a, b, c = flat[:, 0, :2], flat[:, 1, :2], flat[:, 2, :2]
    area, sign = _edge(a, b, c)
    area = area * sign
    orientation = area.sign()
    inside = area != 0
    sides = []
    for start, end in ((b, c), (c, a), (a, b)):
        value, sign = _edge(start, end, point)
        inner = sign * orientation
        side = inner * value
        inside &= (side > 0) | ((side == 0) & (inner > 0))
        sides.append(side)
    z = flat[..., 2]
    depth = z[:, 0] + (sides[1] * (z[:, 1] - z[:, 0]) + sides[2] * (z[:, 2] - z[:, 0])) / area.abs()
    pixel, depth, triangle = (y * size + x)[inside], depth[inside], triangle[inside]
    nearest = torch.full((size * size,), -torch.inf, dtype=torch.float64, device=depth.device).scatter_reduce(
        0, pixel, depth, "amax"
    )
    won = depth == nearest[pixel]
    index = torch.full((size * size,), len(corners), device=depth.device).scatter_reduce(
        0, pixel[won], triangle[won], "amin"
    )
    return torch.where(index == len(corners), -1, index).view(size, size)
