"""AFLW's 21 points from a face's 68, as 3DDFA's evaluation takes them.

Centers are means over the whole outline (six points of an eye, eight of the inner lips), and the ears, which
the 68 points do not have, are the third contour point from either end. The landmark map of training has other
centers and no ears: see `twodasl.landmarks.twenty_one_from_68`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SOURCES: tuple[tuple[int, ...], ...] = (
    *((i,) for i in (17, 19, 21, 22, 24, 26)),
    (36,),
    tuple(range(36, 42)),
    (39,),
    (42,),
    tuple(range(42, 48)),
    (45,),
    (2,),
    (31,),
    (30,),
    (35,),
    (14,),
    (48,),
    tuple(range(60, 68)),
    (54,),
    (8,),
)
"""For each of the 21 points the points among the 68 whose mean it is."""

WORDS = "21 points from 68: eye and mouth centers are means of the outlines, ears are contour points 2 and 14"


def benchmark_21_from_68(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, 68, D) to (n, 21, D). Raises ValueError on another number of points."""
    given = np.asarray(points, np.float64)
    if given.ndim != 3 or given.shape[1] != 68:
        raise ValueError(f"points: expected (n, 68, D), got {given.shape}")
    return np.stack([given[:, list(source)].mean(axis=1) for source in SOURCES], axis=1)
