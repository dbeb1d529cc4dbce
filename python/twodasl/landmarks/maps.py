"""The facial landmark map (FLM): the network's fourth input channel."""

from __future__ import annotations

import torch

from ..geometry.constants import constant


def landmark_map(
    points: torch.Tensor, size: int = 120, visible: torch.Tensor | None = None, *, outside: str = "drop"
) -> torch.Tensor:
    """Draw landmarks as single pixels (paper section 3.1): 1 at each point, -1 everywhere else.

    points: (B, L, 2) crop pixels (x, row), any real dtype and device; L is 18 for the paper's network. The
    pixel is the floor of the coordinates. visible: (B, L) bool, False omits a point; None draws all. outside:
    "drop" omits points beyond the crop, "clamp" moves them to the nearest border pixel; points never wrap
    around. Points with NaN or infinity are always omitted.

    Returns (B, 1, size, size) float32 on the points' device, without gradient. Shapes are fixed and control
    flow does not depend on data, so `torch.compile` compiles it whole. Raises ValueError naming the argument
    at fault.
    """
    if points.ndim != 3 or points.shape[-1] != 2:
        raise ValueError(f"points: expected (B, L, 2), got {tuple(points.shape)}")
    if size < 1:
        raise ValueError(f"size: expected a positive number of pixels, got {size}")
    if outside not in ("drop", "clamp"):
        raise ValueError(f"outside: expected 'drop' or 'clamp', got {outside!r}")
    if visible is not None and visible.shape != points.shape[:2]:
        raise ValueError(f"visible: expected {tuple(points.shape[:2])}, got {tuple(visible.shape)}")
    points = points.detach()
    if points.dtype not in (torch.float32, torch.float64):  # which hold any size exactly
        points = points.double()
    drawn = points >= 0 if outside == "drop" else torch.isfinite(points)
    if visible is not None:
        drawn = drawn & visible.to(device=points.device, dtype=torch.bool)[..., None]
    # One row and one column beyond the map receive the points that are not drawn.
    beyond = constant((float(size),), points.device, points.dtype)
    last = size if outside == "drop" else size - 1
    # Bounded and finite before the conversion, which then is the floor: float to integer is undefined for NaN
    # and huge values.
    pixels = torch.where(drawn, points.clamp(0, last), beyond).long()
    cell = torch.add(pixels[..., 0], pixels[..., 1], alpha=size + 1)
    cells = torch.full((points.shape[0], (size + 1) ** 2), -1.0, dtype=torch.float32, device=points.device)
    cells = cells.scatter_(1, cell, 1.0).unflatten(1, (1, size + 1, size + 1))
    return cells[..., :size, :size]
