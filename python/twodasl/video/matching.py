"""Which face of a frame is which of the frames before."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..geometry.crops import Crop
from .track import Track

_REMEMBERED = 1.5
"""Seconds for which a face that is not seen is kept in mind."""

_NEAR, _SIZE = 1.2, 1.8
"""How far from where it was lost a face may be found again, in sides of its crop, and how much larger."""


def overlap(one: Crop, other: Crop) -> float:
    """Area of the intersection over that of the union."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(crop.x1 - crop.x0) * (crop.y1 - crop.y0) for crop in (one, other)]
    return width * height / (sum(areas) - width * height)


def overlaps_frame(crop: Crop, frame: NDArray[np.uint8]) -> bool:
    """Whether the middle of a crop is in the frame: less than half a face is not followed."""
    x, row = (crop.x0 + crop.x1) / 2, (crop.y0 + crop.y1) / 2
    return 0 <= x < frame.shape[1] and 0 <= row < frame.shape[0]


def alike(track: Track, crop: Crop, quarters: int, seconds: float) -> bool:
    """Whether a face found at a time, in a crop of the turned frame, can be that of a track that was lost.

    It may be near the place where it was lost, or near the one that its motion led to, as behind somebody.
    """
    if track.quarters != quarters:
        return False
    last, velocity = track.crop, np.median(track.velocities, axis=0)
    side = last.x1 - last.x0
    x, row = (crop.x0 + crop.x1 - last.x0 - last.x1) / 2, (crop.y0 + crop.y1 - last.y0 - last.y1) / 2
    gap = seconds - track.seconds
    # The velocity's y points up.
    away = min(math.hypot(x, row), math.hypot(x - velocity[0] * gap, row + velocity[1] * gap))
    size = (crop.x1 - crop.x0) / side
    return away <= _NEAR * side and 1 / _SIZE <= size <= _SIZE


def resumable(track: Track, seconds: float) -> bool:
    """Whether a track still counts at a time."""
    return not track.missing or seconds - track.seconds <= _REMEMBERED
