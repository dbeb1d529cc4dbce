"""The facial landmark map (FLM): the network's fourth input channel."""

from __future__ import annotations

import torch


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
    if not points.is_floating_point():
        points = points.double()
    pixels = points.floor()
    shown = torch.isfinite(points).all(dim=-1)
    if outside == "drop":
        shown = shown & ((pixels >= 0) & (pixels < size)).all(dim=-1)
    if visible is not None:
        shown = shown & visible.to(device=points.device, dtype=torch.bool)
    # Bounded and finite before the conversion: float to integer is undefined for NaN and huge values.
    pixels = torch.nan_to_num(pixels).clamp(0, size - 1).long()
    # One cell beyond the map receives the points that are not drawn.
    cell = torch.where(shown, pixels[..., 1] * size + pixels[..., 0], size * size)
    cells = torch.full((points.shape[0], size * size + 1), -1.0, dtype=torch.float32, device=points.device)
    cells = cells.scatter(1, cell, 1.0)
    return cells[:, : size * size].reshape(points.shape[0], 1, size, size)
