"""Several looks of a network at the same faces, and the mean of what it says of them.

Half of the error of one look is not that of another. Ours: the paper's network looks once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geometry.crop_motion import moved_image, moved_parameters, moved_points
from ..geometry.crops import SIZE
from ..landmarks import FLIPS, flip_landmarks
from ..training.mirror import mirror_parameters

SIZES = (0.95, 1.05)
"""How large the faces are in the looks, in their size in the crop. At each size they are also seen in the
mirror, where the face model is symmetric."""


def several_looks(images: Tensor, marks: Tensor, mirrored: bool) -> tuple[Tensor, Tensor]:
    """Crops (B, 120, 120, 3) uint8 and their landmarks (B, L, 2) as they are looked at: size after size, then
    all of these in the mirror."""
    shift = np.zeros(2)
    zoomed = [moved_image(image, 0.0, size, shift) for size in SIZES for image in images.cpu().numpy()]
    crops = torch.from_numpy(np.stack(zoomed))
    points = moved_points(marks.repeat(len(SIZES), 1, 1), *_zoom(SIZES, len(images)))
    if not mirrored:
        return crops, points
    return torch.cat([crops, crops.flip(2)]), torch.cat([points, flip_landmarks(points, SIZE)])


def mean_of_looks(
    parameters: Tensor, points: Tensor, sigma: Tensor, mirror: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """What was said of the looks of `several_looks`, in the crops themselves: its mean.

    Args:
        parameters, points, sigma: (L B, 12+K), (L B, P, 2) and (L B, P) of L looks at B faces; P is 0 or 68.
        mirror: the face model's `mirror_map`, where faces were seen in the mirror, too.
    """
    sizes: tuple[float, ...] = SIZES
    if mirror is not None:
        sizes = SIZES + SIZES
        here, there = parameters.chunk(2)
        parameters = torch.cat([here, mirror_parameters(there.cpu(), mirror).to(here)])
        if points.shape[1]:
            (near, far), (sure, spread) = points.chunk(2), sigma.chunk(2)
            points = torch.cat([near, flip_landmarks(far, SIZE)])
            sigma = torch.cat([sure, spread[:, list(FLIPS[68])]])
    back = _zoom([1 / size for size in sizes], len(parameters) // len(sizes))
    said = moved_parameters(parameters, *back).unflatten(0, (len(sizes), -1)).mean(0)
    places = moved_points(points, *back).unflatten(0, (len(sizes), -1)).mean(0)
    spread = sigma * torch.from_numpy(back[1]).to(sigma)[:, None]
    return said, places, spread.square().unflatten(0, (len(sizes), -1)).mean(0).sqrt()


def _zoom(
    sizes: Sequence[float], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Angle, scale and shift of so many faces at each size, size after size."""
    scale = np.repeat(np.array(sizes), count)
    return np.zeros(len(scale)), scale, np.zeros((len(scale), 2))
