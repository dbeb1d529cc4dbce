"""How a head moves: pose and its velocity, predicted to the next frame and corrected by a fit.

A Kalman filter of seven numbers that move with nearly constant velocity: the turn about three axes, the
logarithm of the scale, and the shift of the head's center (Bar-Shalom, Li and Kirubarajan, "Estimation with
Applications to Tracking and Navigation", 2001, section 6.2). A constant velocity is followed without lag. The
measurement is a fit about the predicted pose, whose result already weighs prediction against points, so that
what is left is to say what a changed pose tells of the velocity.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

# White acceleration of a head at rest, squared per second: turn in radians, growth, shift in millimeters.
_REST = np.array([4e-5, 4e-5, 4e-5, 6e-6, 0.12, 0.12, 0.12])
# A head that moves also changes its speed: by all of it within this time, in seconds.
_SWERVE = 0.35
# Standard deviations of the velocities of a head that was just found, a second.
_UNKNOWN = np.array([0.8, 0.8, 0.8, 0.3, 150.0, 150.0, 150.0])
# Beyond so many deviations a correction is a change of speed that the filter did not expect.
_SURPRISE = 2.5
_MILLIMETERS = slice(4, 7)
_DEPTH = 6


@dataclass
class Motion:
    """Pose and velocity of one head, in the pixels of the frame with y up.

    Attributes:
        rotation: (3, 3). log_scale: pixels per millimeter. center: (3,) where the middle of the mean shape's
            landmarks lies.
        velocity: (7,) a second: turn in radians, growth, shift in pixels.
        spread: (7, 2, 2) covariances of each number and its velocity.
    """

    rotation: Doubles
    log_scale: float
    center: Doubles
    velocity: Doubles = field(default_factory=lambda: np.zeros(7))
    spread: Doubles = field(default_factory=lambda: np.zeros((7, 2, 2)))

    @classmethod
    def found(cls, pose: Doubles, middle: Doubles, deviations: Doubles) -> Motion:
        """A head of which nothing else is known; pose (3, 4) and deviations (7,) of a fit, middle (3,) the
        mean shape's."""
        motion = cls(*_parts(pose, middle))
        motion.spread[:, 0, 0] = np.square(deviations)
        motion.spread[:, 1, 1] = np.square(_UNKNOWN * motion._unit())
        return motion

    def pose(self, middle: Doubles) -> Doubles:
        """(3, 4), as a fit takes it."""
        linear = np.exp(self.log_scale) * self.rotation
        return np.concatenate([linear, (self.center - linear @ middle)[:, None]], axis=1)

    def deviations(self) -> Doubles:
        """(7,) of the pose, as a fit takes them; the depth, which an image does not show, is held."""
        deviations = np.sqrt(self.spread[:, 0, 0])
        deviations[_DEPTH] = 0
        return np.asarray(deviations)

    def after(self, seconds: float) -> Motion:
        """The head so much later."""
        moved = self.velocity * seconds
        turn = cv2.Rodrigues(moved[:3])[0]
        spread = self.spread.copy()
        certain = np.maximum(np.square(self.velocity) - spread[:, 1, 1], 0)
        # Turning, growing and moving go together; what is not known of one is seen in its fellows.
        together = np.concatenate(
            [np.full(3, certain[:3].sum()), certain[3:4], np.full(3, certain[4:].sum())]
        )
        noise = _REST * np.square(self._unit()) + together / _SWERVE
        spread[:, 0, 0] += seconds * (2 * spread[:, 0, 1] + seconds * spread[:, 1, 1])
        spread[:, 0, 0] += noise * seconds**3 / 3
        spread[:, 0, 1] += seconds * spread[:, 1, 1] + noise * seconds**2 / 2
        spread[:, 1, 0] = spread[:, 0, 1]
        spread[:, 1, 1] += noise * seconds
        return Motion(
            turn @ self.rotation, self.log_scale + moved[3], self.center + moved[4:], self.velocity, spread
        )

    def corrected(self, pose: Doubles, middle: Doubles, deviations: Doubles) -> Motion:
        """The head once a fit about this pose has found another; what the fit found is the estimate."""
        rotation, log_scale, center = _parts(pose, middle)
        change = self.change(pose, middle)
        before, after = self.spread[:, 0, 0], np.square(deviations)
        known = np.maximum(before, 1e-12)
        gain = self.spread[:, 0, 1] / known
        spread = np.empty_like(self.spread)
        # A fit can end up surer than its prior only; rounding must not say otherwise.
        after = np.minimum(after, before)
        spread[:, 0, 0] = after
        spread[:, 0, 1] = spread[:, 1, 0] = gain * after
        spread[:, 1, 1] = self.spread[:, 1, 1] + np.square(gain) * (after - before)
        return Motion(rotation, log_scale, center, self.velocity + gain * change, spread)

    def change(self, pose: Doubles, middle: Doubles) -> Doubles:
        """(7,) from this pose to another: turn in radians, growth, shift in pixels."""
        rotation, log_scale, center = _parts(pose, middle)
        turn = cv2.Rodrigues(rotation @ self.rotation.T)[0][:, 0]
        return np.concatenate([turn, [log_scale - self.log_scale], center - self.center])

    def surprised(self, change: Doubles, deviations: Doubles) -> Motion | None:
        """The prediction with the uncertainty that a fit's change shows it should have had; None where it was
        wide enough."""
        before = self.spread[:, 0, 0]
        expected = before - np.minimum(np.square(deviations), before)
        square = np.square(change)
        off = square > _SURPRISE**2 * np.maximum(expected, 1e-12)
        off[_DEPTH] = False
        if not off.any():
            return None
        factor = np.where(off, square / np.maximum(expected, 1e-12), 1.0)
        spread = self.spread * np.clip(factor, 1.0, 100.0)[:, None, None]
        return Motion(self.rotation, self.log_scale, self.center, self.velocity, spread)

    def _unit(self) -> Doubles:
        """(7,) pixels for what is given in millimeters."""
        unit = np.ones(7)
        unit[_MILLIMETERS] = np.exp(self.log_scale)
        return unit


def _parts(pose: Doubles, middle: Doubles) -> tuple[Doubles, float, Doubles]:
    """Rotation, log scale and center of a rotation times a scale (3, 4)."""
    scale = float(np.cbrt(np.linalg.det(pose[:, :3])))
    return pose[:, :3] / scale, float(np.log(scale)), pose[:, :3] @ middle + pose[:, 3]
