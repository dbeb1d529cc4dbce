"""What photographs of people correct in the sculpted head: its proportions, and what a smile does.

The sculpt follows tables of measures, and its modes are brushed by hand. Fitted to the landmarks of 289 calm
faces of photographs (portraits, and faces in the wild, of all ages and origins), it asks for the same changes
in all of them: a wider, fuller lower face, lower brows, smaller eyes, a longer upper lip. And people who
smile have a shorter upper lip and a wider mouth, beyond what the brushed smile does, as if the smile had
changed who they are. Both are taken from there; `benchmarks/experiments/head_from_photos.py` measures them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MEAN = {
    "face width": 0.9, "face length": -1.1, "fullness": 1.3, "forehead width": 0.7,
    "jaw width": 1.2, "jaw angle": -1.3, "chin width": 0.8,
    "nose length": -0.5, "nose width": -0.7, "nose tip turn": 0.8,
    "mouth width": 0.3, "upper lip": -0.7, "lower lip": -0.5, "philtrum length": 1.4,
    "eye spacing": -0.4, "eye size": -1.0, "eye tilt": -0.3, "eye opening": -0.5,
    "brows up": -1.6,
}  # fmt: skip
"""Where calm faces lie in the sculpt's modes, after one or two rounds of fits: landmarks err alike in all
photographs, so that fits to many are not to be believed more than fits to one. The jaw stays within published
measures."""

SMILE = {"philtrum length": -0.5, "mouth width": 0.4, "lower lip": 0.2}
"""What one unit of the brushed smile takes with it, in the sculpt's modes."""


def calm_mean(mean: Array, modes: dict[str, Array]) -> Array:
    """The sculpt's vertices (N, 3) with the proportions of photographed people."""
    return mean + _sum(MEAN, modes)


def full_smile(modes: dict[str, Array]) -> Array:
    """The mode `smile` (N, 3) with all that it does to a face."""
    return modes["smile"] + _sum(SMILE, modes)


def _sum(coefficients: dict[str, float], modes: dict[str, Array]) -> Array:
    return np.asarray(sum(value * modes[name] for name, value in coefficients.items()))
