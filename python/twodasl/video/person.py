"""Whose face it is and what it does: a running normal distribution of the coefficients of one track.

The shape is constant, so that what the frames say of it adds up. Their errors are alike, though: a network
that takes a nose for too long does so in the next frame as well. With errors of correlation r, the mean of n
frames has the variance r + (1 - r) / n of one, and frame n is worth as much less as this says. The expression
changes, and is pulled towards what the face model expects of one (an Ornstein-Uhlenbeck process).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_ALIKE = 0.08
"""Correlation of the errors of two frames."""

_CALM, _LIVELY = 40.0, 0.12
"""Seconds in which an expression is forgotten: usually, and when it is seen to change."""

_SURPRISE = 1.0
"""Square of the change of the expression, over what was expected, from which it is seen to change."""


@dataclass
class Person:
    """The coefficients of one face.

    Attributes:
        mean: (K,), shape first. precision: (K, K), the inverse covariance.
        shapes: how many of them are of the shape. spread: (K,) the face model's standard deviations.
        frames: how many frames were seen.
    """

    mean: Doubles
    precision: Doubles
    shapes: int
    spread: Doubles
    frames: int = 1

    def after(self, seconds: float, lively: bool = False) -> Person:
        """The face so much later, before its frame is seen: what the frame's fit takes as its prior.

        lively: whether the expression is known to change.
        """
        kept = np.exp(-seconds / (_LIVELY if lively else _CALM))
        moved, covariance = self.mean.copy(), np.linalg.inv(self.precision)
        face = slice(self.shapes, None)
        moved[face] *= kept
        covariance[face] *= kept
        covariance[:, face] *= kept
        covariance[face, face] += np.diag((1 - kept**2) * np.square(self.spread[face]))
        # A frame that is worth less than the first is as one that meets a narrower prior.
        precision = _scaled(np.linalg.inv(covariance), self.shapes, 1 / np.sqrt(self._worth()))
        return Person(moved, precision, self.shapes, self.spread, self.frames)

    def told(self, mean: Doubles, precision: Doubles) -> Person:
        """With what a network says of the shape: mean and precision (K,) of all coefficients."""
        added = np.where(np.arange(len(precision)) < self.shapes, precision, 0)
        joined = self.precision + np.diag(added)
        moved = self.mean + np.linalg.solve(joined, added * (mean - self.mean))
        return Person(moved, joined, self.shapes, self.spread, self.frames)

    def corrected(self, mean: Doubles, information: Doubles) -> Person:
        """The face once its frame was fitted: the fit's coefficients (K,), and the information (K, K) that
        the frame's points gave in addition to this prior."""
        precision = _scaled(self.precision + information, self.shapes, np.sqrt(self._worth()))
        return Person(mean, precision, self.shapes, self.spread, self.frames + 1)

    def surprised(self, mean: Doubles, information: Doubles) -> bool:
        """Whether a fit changed the expression by more than this prior expects."""
        if len(mean) == self.shapes:
            return False
        before = np.linalg.inv(self.precision)
        after = np.linalg.inv(self.precision + information)
        face = slice(self.shapes, None)
        expected = np.diag(before - after)[face]
        square = np.square((mean - self.mean)[face])
        return bool((square / np.maximum(expected, 1e-12)).mean() > _SURPRISE)

    def _worth(self) -> float:
        """Of the next frame for the shape, where the first is worth 1."""
        fresh = 1 - _ALIKE
        return fresh / ((_ALIKE * self.frames + fresh) * (_ALIKE * (self.frames + 1) + fresh))


def _scaled(precision: Doubles, shapes: int, factor: float) -> Doubles:
    """With rows and columns of the shape times a factor."""
    scale = np.ones(len(precision))
    scale[:shapes] = factor
    return precision * scale[:, None] * scale
