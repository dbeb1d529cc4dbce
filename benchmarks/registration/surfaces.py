"""Two scans of faces of real size to be registered: smooth surfaces, different people, not aligned."""

from __future__ import annotations

import math

import torch
from torch import Tensor

PAPER = 53215
"""Vertices of the Basel face model without its neck."""

# Center (across, up), widths, height in millimeters of what stands out of an ellipsoid, or is sunk into it.
_FEATURES = (
    (0, -8, 11, 22, 24),  # nose
    (0, 34, 46, 12, 6),  # brow
    (-31, 22, 15, 11, -9),  # eyes
    (31, 22, 15, 11, -9),
    (0, -46, 24, 8, 5),  # lips
    (0, -52, 18, 4, -3),
    (0, -82, 22, 14, 8),  # chin
    (-45, -14, 24, 24, 5),  # cheeks
    (45, -14, 24, 24, 5),
)


def face(vertices: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """(N, 3) millimeters, y up, z toward the viewer; `seed` varies the features by some 15 %."""
    generator = torch.Generator().manual_seed(seed)
    step = torch.arange(vertices, dtype=torch.float64) + 0.5
    angle, radius = step * math.pi * (3 - math.sqrt(5)), (step / vertices).sqrt()  # a sunflower: even spacing
    x, y = 72 * radius * angle.cos(), 98 * radius * angle.sin()
    z = 95 * (1.02 - radius.square()).sqrt()
    for across, up, width, tall, height in _FEATURES:
        w, t, h = (1 + 0.15 * torch.randn(3, generator=generator, dtype=torch.float64)).tolist()
        distance = ((x - across) / (width * w)).square() + ((y - up) / (tall * t)).square()
        z = z + height * h * torch.exp(-0.5 * distance)
    return torch.stack((x, y, z), dim=1).to(dtype)


def in_rows(points: Tensor) -> Tensor:
    """The same points in the order of a scanner's rows, from bottom to top.

    The sunflower's order jumps across the whole face from one point to the next. Meshes and scans do not, and
    a search whose queries come in any order waits for memory.
    """
    up, across = points[:, 1].double(), points[:, 0].double()
    height = float(up.max() - up.min()) / max(1.0, math.sqrt(len(points)))
    row = ((up - up.min()) / height).floor()
    order = torch.argsort(row * 4 * float(across.abs().max()) + across)
    return points[order].contiguous()


def rotation(degrees: float, axis: tuple[float, float, float]) -> Tensor:
    """(3, 3) float64 about an axis through the origin."""
    x, y, z = (a / math.sqrt(sum(b * b for b in axis)) for a in axis)
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    angle = math.radians(degrees)
    return torch.eye(3, dtype=torch.float64) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def pair(vertices: int, degrees: float = 20.0, same: bool = False) -> tuple[Tensor, Tensor]:
    """Source and target (N, 3) float32: the source turned and shifted; `same` takes the same person twice."""
    source, target = face(vertices, 1).double(), face(vertices, 1 if same else 2)
    turn = rotation(degrees, (0.4, 1.0, -0.3))
    return (source @ turn.T + torch.tensor([12.0, -7.0, 20.0])).float(), target


def aligned_pair(vertices: int) -> tuple[Tensor, Tensor]:
    """Two people's faces (N, 3) float32 where they were made, in rows: what a registration ends with."""
    return in_rows(face(vertices, 1)), in_rows(face(vertices, 2))


def unaligned_pair(vertices: int) -> tuple[Tensor, Tensor]:
    """The same two faces before it: as `pair` turns and shifts them, in rows."""
    source, target = pair(vertices)
    return in_rows(source), in_rows(target)
