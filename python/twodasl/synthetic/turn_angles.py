"""By how much to turn the head of a photo, so that turned heads are spread evenly over profiles."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

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


def turn_range(pose: ArrayLike) -> tuple[float, float]:
    """The |yaw| (lowest, highest), radians, that a head of pose (3, 4) or (12,) may be turned to.

    Both lie between `LEAST_YAW` and `MOST_YAW`; the lowest exceeds the highest where the head allows no turn:
    it is a profile already, or looks away from the viewer.
    """
    azimuth, level = _gaze(pose)
    least = max(LEAST_YAW, _yaw(abs(azimuth) + LEAST_TURN, level))
    return least, min(MOST_YAW, _yaw(abs(azimuth) + MOST_TURN, level))


def draw_turn(
    rng: np.random.Generator, pose: ArrayLike, low: float = LEAST_YAW, high: float = MOST_YAW
) -> tuple[float, float] | None:
    """Angles for one turned head: `turn` and `lift` of `FaceTurner`, radians.

    The turn goes on in the direction in which the head looks, a frontal one to either side.

    Args:
        rng: every call takes three numbers from it.
        pose: (3, 4) or (12,), a scaled rotation.
        low, high: |yaw| wanted, radians; drawn evenly from the part of it that the head allows.

    Returns:
        The angles, or None where the head allows none of these.

    Raises:
        InputError: a pose that is no camera.
    """
    draw, side, lift = rng.random(), rng.random(), rng.standard_normal()
    azimuth, level = _gaze(pose)
    least, most = turn_range(pose)
    least, most = max(least, low), min(most, high)
    if least > most:
        return None
    wanted = least + draw * (most - least)
    sign = math.copysign(1.0, azimuth) if abs(azimuth) > FRONTAL else math.copysign(1.0, side - 0.5)
    goal = math.asin(min(1.0, math.sin(wanted) / level))
    return sign * goal - azimuth, LIFT_SPREAD * float(np.clip(lift, -2, 2))


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
