"""The lower jaw: open, forward, sideways; and lips that stay shut whatever it does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..expressions import hinge
from .brushes import Face

Array = NDArray[np.float64]

# Opened in full: the turn about the condyles (radians), and how far they slide forward (mm).
OPEN_TURN, OPEN_SLIDE = 0.30, 7.0
FORWARD, SIDEWAYS = 10.0, 12.0  # millimeters at the chin
# What the upper lip does of the way when lips meet over an open jaw.
UPPER_SHARE = 0.3


def jaw(f: Face) -> dict[str, Array]:
    """Fields (N, 3) of the jaw's shapes; of pairs only the subject's left."""
    opening = jaw_open(f)
    return {
        "jawForward": f.soft(f.a.push(f.mandible, forward=FORWARD, up=-1.0)),
        "jawLeft": jaw_left(f),
        "jawOpen": opening,
        "mouthClose": mouth_close(f, opening),
    }


def jaw_open(f: Face) -> Array:
    """The mandible turns about its condyles, which slide forward; chin, lower lip and cheeks go with it."""
    a = f.a
    arm = a.points - hinge(a)
    cos, sin = np.cos(OPEN_TURN) - 1, np.sin(OPEN_TURN)
    turned = np.column_stack([np.zeros(len(arm)), cos * arm[:, 1] - sin * arm[:, 2],
                              sin * arm[:, 1] + cos * arm[:, 2] + OPEN_SLIDE])  # fmt: skip
    field = f.mandible[:, None] * turned
    # The lower lip does not follow the teeth all the way back, and the corners come closer together.
    field += a.push(f.lower * f.lips(6, 9, 6, 24), forward=12.0)
    field += a.push(f.lips(12, 12, 9, 24) * f.along**2, lateral=-1.5)
    return f.soft(field, 1)


def jaw_left(f: Face) -> Array:
    """The mandible turns about a vertical axis: the chin goes to the subject's left."""
    a = f.a
    reach = (a.z - hinge(a)[2]) / (a.mark(8)[2] - hinge(a)[2])
    field = f.slide(f.mandible * np.clip(reach, 0, 1.2), (SIDEWAYS, 0, 0))
    # The lips are one ring: the upper one is drawn along a little.
    field += f.slide(f.lips(9, 12, 12) * (1 - f.mandible), (3.0, 0, 0))
    return a.smooth(field, 2)


def mouth_close(f: Face, opening: Array) -> Array:
    """What shuts the lips again over a jaw that is open in full: the lower lip up, the upper one down."""
    a = f.a
    seam = (a.regions["lip_upper"] + a.regions["lip_lower"] > 0.5) & (f.on_lip < 0.05) & (a.x >= 0)
    upper, lower = (np.flatnonzero(seam & side) for side in (f.below < 0, f.below > 0))

    def moved(row: NDArray[np.int64]) -> Array:
        order = row[np.argsort(a.across[row])]
        return np.column_stack([np.interp(a.across, a.across[order], opening[order, k]) for k in range(3)])

    gap = moved(upper) - moved(lower)
    gap[:, 0] = 0
    # On the lip it moves as one; the skin around gives way gradually, more below, where there is more.
    height = np.maximum(np.abs(f.below) - 0.7 * f.lip_height, 0)
    fade = np.exp(-0.5 * (height / np.where(f.below > 0, 11.0, 8.0)) ** 2)
    beside = np.exp(-0.5 * (np.maximum(a.across - a.mark(54)[0], 0) / 7) ** 2)
    depth = a.ramp(a.z, a.mouth[2] - 60, a.mouth[2] - 30)
    weight = fade * beside * depth
    field = weight[:, None] * np.where(f.below[:, None] > 0, (1 - UPPER_SHARE) * gap, -UPPER_SHARE * gap)
    return (field + a.mirrored(field)) / 2
