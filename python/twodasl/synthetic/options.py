"""What may vary in a synthetic face, and how much."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ..errors import InputError

_PROBABILITIES = (
    "profile_share", "hair", "headwear", "torso", "glasses", "occluders", "photo_backgrounds", "grayscale",
    "black_borders",
)  # fmt: skip


@dataclass(frozen=True)
class SyntheticOptions:
    """Options of SyntheticFaces. Angles are in degrees here, and in radians in the samples.

    Geometry has its own random stream: options of the second group change pixels, never parameters. Raises
    InputError naming an invalid option.
    """

    # Geometry.
    yaw_limit: float = 90.0
    """Largest |yaw|."""
    profile_share: float = 0.55
    """Fraction of faces with yaw uniform over the whole range; the others are near frontal."""
    pitch_std: float = 14.0
    roll_std: float = 14.0
    coefficient_limit: float = 2.5
    """Shape and expression coefficients are normal, cut off at this many standard deviations."""
    wide_mouths: float = 0.1
    """Fraction of faces with a mouth open up to three times as far as `coefficient_limit` lets it, of the
    embedded head and of models that have a mode named "jaw open"."""
    shut_eyes: float = 0.1
    """Fraction of faces with eyes shut or nearly so, one in eight of them only one eye, of the embedded head
    and of models that have modes named "blink left" and "blink right"."""
    box_noise: float = 0.035
    """Error of a detector's box: standard deviation of its edges, as a fraction of its side."""

    # Appearance: probabilities, unless stated otherwise.
    hair: float = 0.85
    headwear: float = 0.14
    torso: float = 0.9
    glasses: float = 0.16
    occluders: float = 0.22
    photo_backgrounds: float = 0.35
    """Fraction of backgrounds cut from scikit-image's bundled photos (none shows a person)."""
    grayscale: float = 0.14
    black_borders: float = 0.14
    """Fraction of crops that extend beyond their photo."""
    degradation: float = 1.0
    """Strength of blur, noise, compression, and resizing; 0 turns them off."""
    supersampling: float = 1.0
    """Samples per pixel along each axis, 1 to 4 in steps of 0.5. With 1, a small filter softens the edges."""

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise InputError(f"{option.name}: expected a finite number, got {value!r}")
        for name in _PROBABILITIES:
            self._check(name, 0.0, 1.0)
        self._check("yaw_limit", 0.0, 90.0)
        self._check("pitch_std", 0.0, 45.0)
        self._check("roll_std", 0.0, 90.0)
        self._check("coefficient_limit", 0.0, 5.0)
        self._check("wide_mouths", 0.0, 0.5)
        self._check("shut_eyes", 0.0, 0.5)
        self._check("box_noise", 0.0, 0.3)
        self._check("degradation", 0.0, 2.0)
        self._check("supersampling", 1, 4)
        if 2 * self.supersampling != int(2 * self.supersampling):
            raise InputError(f"supersampling: expected a multiple of one half, got {self.supersampling!r}")

    def _check(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            raise InputError(f"{name}: expected {low:g} to {high:g}, got {value:g}")
