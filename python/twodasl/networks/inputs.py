"""The regressor's input: a crop and its known landmarks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..landmarks import landmark_map


def network_input(
    images: torch.Tensor | NDArray[np.uint8],
    points18: torch.Tensor | NDArray[np.floating],
    visible: torch.Tensor | None = None,
) -> torch.Tensor:
    """Build the regressor's input: (B, 4, 120, 120) float32 on the images' device.

    images: (B, 120, 120, 3) uint8 BGR; points18: (B, 18, 2) crop pixels (x, row); visible: (B, 18) bool or
    None.
    Channels 0-2 are `(BGR - 127.5) / 128`; channel 3 is the landmark map (paper section 3.1), 1 at the points
    and -1 elsewhere. Raises ValueError naming the argument at fault.
    """
    pixels = torch.as_tensor(images)
    if pixels.ndim != 4 or pixels.shape[1] != pixels.shape[2] or pixels.shape[3] != 3:
        raise ValueError(f"images: expected (B, size, size, 3), got {tuple(pixels.shape)}")
    if pixels.dtype != torch.uint8:
        raise ValueError(f"images: expected uint8, got {pixels.dtype}")
    points = torch.as_tensor(points18).to(device=pixels.device, dtype=torch.float32)
    if points.shape != (pixels.shape[0], 18, 2):
        raise ValueError(f"points18: expected {(pixels.shape[0], 18, 2)}, got {tuple(points.shape)}")
    color = (pixels.permute(0, 3, 1, 2).float() - 127.5) / 128.0
    return torch.cat([color, landmark_map(points, pixels.shape[1], visible).to(color)], dim=1)
