"""By how much to turn the head of a photo, so that turned heads are spread evenly over profiles."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

LEAST_YAW, MOST_YAW = math.radians(30.0), math.radians(90.0)
"""Range of |yaw| of turned heads, radians."""

MOST_TURN = math.radians(60.0)
"""Largest turn from the photo: beyond it, most of what comes into view was hidden."""

LEAST_TURN = math.radians(10.0)
"""A smaller turn gives the photo again."""

FRONTAL = math.radians(8.0)
"""|yaw| up to which a head is turned to either side."""

LIFT_SPREAD = math.radians(4.0)
"""Standard deviation of the pitch that comes on top."""


_BINS = 12  # of |yaw|, five degrees each
_ROUNDS = 60


def turn_range(pose: ArrayLike, flipped: bool = False) -> tuple[float, float]:
    """The |yaw| (lowest, highest), radians, that a head of pose (3, 4) or (12,) may be turned to.

    Both lie between `LEAST_YAW` and `MOST_YAW`; the lowest exceeds the highest where the head allows no turn:
    it is a profile already, or looks away from the viewer. flipped: turned to the other side.

    Raises InputError for a pose that is no camera.
    """
    azimuth, level = _gaze(pose)
    start = -abs(azimuth) if flipped else abs(azimuth)
    if start + LEAST_TURN > math.pi / 2:
        return MOST_YAW, LEAST_YAW
    return max(LEAST_YAW, _yaw(start + LEAST_TURN, level)), min(MOST_YAW, _yaw(start + MOST_TURN, level))


def even_weights(poses: ArrayLike) -> NDArray[np.float64]:
    """Weights (12,) of five-degree bins of |yaw| for `draw_turn`, by which many heads are spread evenly.

    Each head reaches a part of the range only, and most reach its middle. The weights of the bins are
    adapted, in turns with each head's total, until every bin is expected to get its share, or as much of it
    as the heads can give.

    Args:
        poses: (n, 3, 4) or (n, 12).

    Raises InputError for a pose that is no camera.
    """
    lengths = np.stack([_lengths(turn_range(pose)) for pose in np.asarray(poses, np.float64)])
    lengths = lengths[lengths.sum(axis=1) > 0]
    weights = np.ones(_BINS)
    for _ in range(_ROUNDS if len(lengths) else 0):
        shares = lengths * weights
        given = (shares / shares.sum(axis=1, keepdims=True)).sum(axis=0)
        weights *= np.clip(len(lengths) / _BINS / np.maximum(given, 1e-9), 0.5, 2.0)
        weights = np.clip(weights / weights.mean(), 1e-3, 1e3)
    return weights


def draw_turn(
    rng: np.random.Generator, pose: ArrayLike, weights: NDArray[np.float64] | None = None
) -> tuple[float, float] | None:
    """Angles for one turned head: `turn` and `lift` of `FaceTurner`, radians.

    The turn goes on in the direction in which the head looks, a frontal one to either side.

    Args:
        rng: every call takes the same count of numbers from it.
        pose: (3, 4) or (12,), a scaled rotation.
        weights: (12,) of `even_weights`; None: evenly over what this head allows.

    Returns:
        The angles, or None where the head allows no turn.

    Raises:
        InputError: a pose that is no camera.
    """
    draw, side, lift = rng.random(), rng.random(), float(rng.standard_normal())
    azimuth, level = _gaze(pose)
    flipped = abs(azimuth) < FRONTAL and side < 0.5
    least, most = turn_range(pose, flipped)
    if least > most:
        return None
    shares = _lengths((least, most)) * (np.ones(_BINS) if weights is None else weights)
    total = np.concatenate([[0.0], np.cumsum(shares)])
    edges = np.clip(_edges(), least, most)
    wanted = float(np.interp(draw * total[-1], total, edges)) if total[-1] > 0 else least
    sign = math.copysign(1.0, azimuth) * (-1 if flipped else 1)
    goal = math.asin(min(1.0, math.sin(wanted) / level))
    return sign * goal - azimuth, LIFT_SPREAD * min(2.0, max(-2.0, lift))


def _edges() -> NDArray[np.float64]:
    return np.linspace(LEAST_YAW, MOST_YAW, _BINS + 1)


def _lengths(reach: tuple[float, float]) -> NDArray[np.float64]:
    """How much of each bin (12,) lies within a range."""
    edges = _edges()
    return np.clip(np.minimum(edges[1:], reach[1]) - np.maximum(edges[:-1], reach[0]), 0, None)


def _gaze(pose: ArrayLike) -> tuple[float, float]:
    """Where the nose points: its angle about the picture's vertical axis, positive to the left; and the part
    of its direction that lies across that axis, in (0, 1].
    """
    linear = np.asarray(pose, np.float64)
    if linear.shape not in ((3, 4), (12,)) or not np.isfinite(linear).all():
        raise InputError(f"pose: expected (3, 4) or (12,) finite numbers, got {linear.shape}")
    x, y, z = linear.reshape(3, 4)[:, 2]
    length = math.sqrt(x * x + y * y + z * z)
    if length <= 0:
        raise InputError("pose: expected a scaled rotation, got a matrix whose third column is zero")
    return math.atan2(-x, z), max(math.hypot(x, z) / length, 1e-9)


def _yaw(azimuth: float, level: float) -> float:
    """The yaw of a head whose nose points there; none is beyond a right angle."""
    return math.asin(min(1.0, level * math.sin(min(azimuth, math.pi / 2))))
