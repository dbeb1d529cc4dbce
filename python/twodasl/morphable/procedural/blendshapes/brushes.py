"""What all blend shapes share: soft sides of the face, which lip a vertex belongs to, and where on it."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..anatomy import Anatomy
from ..expressions import lower_side, mandible
from ..features.lips import CORNER_X, contact_line, lower_border, upper_border
from ..shapes import smoothstep

Array = NDArray[np.float64]


class Face:
    """The sculpted head's anatomy, and the brushes that blend shapes are painted with.

    Fields are (N, 3) millimeters, weights (N,). `mean` (N, 3) is the shipped head: the eyeballs turn about
    their centers there, which are not quite the sculpt's. `modes` are its expression modes by name.
    """

    def __init__(self, anatomy: Anatomy, mean: Array, modes: dict[str, Array]) -> None:
        self.a = anatomy
        self.mean = mean
        self.modes = modes

    @cached_property
    def lower(self) -> Array:
        """1 on the lower lip and below it, fading to 0 toward the corners of the mouth; 0 above."""
        return np.maximum(2 * lower_side(self.a) - 1, 0)

    @cached_property
    def upper(self) -> Array:
        """The same for the upper lip."""
        return np.maximum(1 - 2 * lower_side(self.a), 0)

    @cached_property
    def mandible(self) -> Array:
        """How far the skin follows the lower jaw."""
        return mandible(self.a)

    @cached_property
    def along(self) -> Array:
        """Distance from the midline as a share of the mouth's half width: 0 in the middle, 1 at a corner."""
        return np.minimum(self.a.across / CORNER_X, 1.0)

    @cached_property
    def below(self) -> Array:
        """Millimeters under the line where the lips touch, negative above it."""
        return contact_line(self.a.across) - self.a.y

    @cached_property
    def on_lip(self) -> Array:
        """0 where the lips touch, 1 at the border of the vermilion and beyond, over either lip."""
        inside = np.minimum(self.a.across, CORNER_X - 0.5)
        contact = contact_line(inside)
        heights = np.where(self.below > 0, contact - lower_border(inside), upper_border(inside) - contact)
        return np.clip(np.abs(self.below) / np.maximum(heights, 1.6), 0.0, 1.0)

    @cached_property
    def lip_height(self) -> Array:
        """Millimeters from the line of contact to the vermilion's border, at a vertex's distance from the
        midline."""
        inside = np.minimum(self.a.across, CORNER_X - 0.5)
        contact = contact_line(inside)
        return np.where(self.below > 0, contact - lower_border(inside), upper_border(inside) - contact)

    def lips(self, up: float, down: float, beside: float, behind: float = 26.0) -> Array:
        """A bell around the closed lips: `up` and `down` from where they touch, `beside` the corners,
        `behind` the front of the mouth, all standard deviations in millimeters."""
        a = self.a
        tall = np.where(self.below > 0, self.below / down, self.below / up)
        wide = np.maximum(a.across - CORNER_X, 0) / beside
        deep = np.minimum(a.z - (a.mouth[2] - 13 * self.along), 0) / behind
        return np.asarray(np.exp(-0.5 * (tall**2 + wide**2 + deep**2)))

    def soft(self, field: Array, rounds: int = 2) -> Array:
        """The field smoothed and made symmetric, without lids and eyeballs, which have their own shapes."""
        a = self.a
        hold = 1 - (1 - a.ramp(a.eye_distance, 2.2, 9.0)) * a.ramp(a.z, a.eye[2] - 25, a.eye[2] - 5)
        field = a.smooth(field, rounds) * hold[:, None]
        return (field + a.mirrored(field)) / 2

    def left(self, field: Array, width: float = 0.0) -> Array:
        """The part of a symmetric field on the subject's left, fading over `width` mm to either side of the
        midline; the two sides together are the field."""
        share = (self.a.x > 0) * 1.0 if width == 0 else smoothstep(-width, width, self.a.x)
        return field * share[:, None]

    def slide(self, weight: Array, by: ArrayLike) -> Array:
        """Field: `weight` times one vector (mm) for both sides of the face, not mirrored."""
        return weight[:, None] * np.asarray(by, dtype=np.float64)
