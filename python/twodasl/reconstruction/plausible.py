"""Whether what a network says is a face at all."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..geometry.crops import SIZE

# How large and how small a face may be against its crop, and the sine of the angle between the rows of its
# camera. What a network says beyond that is finite, but no face: it has diverged.
_LARGEST, _SMALLEST, _FLATTEST = 10.0, 0.02, 0.05


class Plausibility(NamedTuple):
    """Of B faces, (B,) each.

    Attributes:
        good: whether it can be a face.
        extent, reach: its size, and how far from the middle it reaches, in widths of the crop.
        sine: of the angle between the rows of its camera.
    """

    good: Tensor
    extent: Tensor
    reach: Tensor
    sine: Tensor


def plausibility(parameters: Tensor, points: Tensor) -> Plausibility:
    """Judge parameters (B, 12+K) and their points (B, P, 2 or 3) in crop pixels; NaN is no face."""
    places = points[..., :2].double()
    reach = (places - SIZE / 2).abs().amax((1, 2)) / SIZE
    extent = (places.amax(1) - places.amin(1)).amax(1) / SIZE
    rows = torch.nn.functional.normalize(parameters[:, :12].reshape(-1, 3, 4)[:, :2, :3].double(), dim=-1)
    sine = torch.linalg.cross(rows[:, 0], rows[:, 1]).norm(dim=-1)
    # Written so that NaN, of numbers that overflow, does not pass.
    good = (reach <= _LARGEST) & (extent >= _SMALLEST) & (sine >= _FLATTEST)
    return Plausibility(good, extent, reach, sine)
