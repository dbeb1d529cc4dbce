"""Photos without colors: what they do not show is guessed without colors, too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Between the largest and the smallest channel of all but a few of a face's vertices. Skin in color has ten
# times as much.
_GRAY, _ALL = 0.02, 0.95
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def as_photographed(albedo: Floats, photo: Floats, seen: Floats) -> Floats:
    """A model's colors (N, 3), or their brightness where a photo has no colors.

    Else a mouth that opens in an old portrait is red inside, and its eyes are brown.

    Args:
        albedo: (N, 3) RGB.
        photo: (N, 3) RGB in [0, 1], the photo's colors at the vertices. seen: (N,) how well it shows each.
    """
    trusted = seen > 0.5
    if not trusted.any() or float(np.quantile(np.ptp(photo[trusted], axis=1), _ALL)) > _GRAY:
        return albedo
    return np.repeat((albedo @ _LUMA)[:, None], 3, axis=1).astype(albedo.dtype)
