"""The first ten expression modes; `more_expressions.py` has five more.

Each is a linear movement; coefficient 1 is an ordinary strength of the expression, 3 its extreme: eyes shut,
mouth open by a finger's breadth, corners of a broad smile. Strengths are millimeters of landmark movement per
unit. Modes are named from the subject's side: "blink left" shuts the eye at +x, on the right of the picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .anatomy import Anatomy
from .features.lips import contact_line
from .lids import opened, shut

Array = NDArray[np.float64]

# The coefficient at which a blink is complete.
FULL = 3.0
# One unit of jaw opening, radians about the condyles: some 4.5 mm between the lips.
JAW_TURN = 0.046


def lower_side(a: Anatomy) -> Array:
    """(N,) how far a vertex follows the lower jaw rather than the skull: 1 on the lower lip, 0 on the upper
    one.

    The jump between the lips fades toward the corners, where both follow half; away from the mouth
    the two sides meet in a smooth transition across the cheek.
    """
    corner = a.mark(54)
    height = contact_line(a.across) - a.y
    between = 1 - np.minimum(a.across / corner[0], 1) ** 3
    behind = a.ramp(a.z, corner[2] - 55, corner[2] - 25)
    far = a.ramp(np.abs(height), 0, 24)
    share = 0.5 + 0.5 * np.sign(height) * np.maximum(between * behind, far)
    for name, weight in a.regions.items():
        if name.startswith(("teeth", "tongue")):  # rigid, whatever their distance from the corners
            share = np.where(weight > 0.5, 1.0 if "upper" not in name else 0.0, share)
    return share


def hinge(a: Anatomy) -> Array:
    """(3,) where the mandible turns: the left condyle, just before the ear."""
    return a.ear + np.array([0, -4, 16])


def mandible(a: Anatomy) -> Array:
    """(N,) how far the surface follows the lower jaw, fading out toward the ears and the neck."""
    turn, chin = hinge(a), a.mark(8)
    share = lower_side(a) * a.ramp(a.z, turn[2] - 12, turn[2] + 28)
    inside = a.regions["mouth_interior"]
    return np.asarray(share * np.maximum(a.ramp(a.y, chin[1] - 42, chin[1] - 2), inside))


def jaw_open(a: Anatomy) -> Array:
    """The mandible turns about the condyles, just before the ears; lower lip, chin and cheeks go with it."""
    share = mandible(a)
    arm = a.points - hinge(a)
    field = share[:, None] * JAW_TURN * np.column_stack([np.zeros(len(arm)), -arm[:, 2], arm[:, 1]])
    # The lower lip rolls out as the mouth opens. Closing further than shut it then passes behind the upper
    # lip, which is what pressed lips look like.
    lip = a.bump((0, a.mouth[1] - 5, a.mouth[2]), (300, 8, 24)) * np.maximum(2 * lower_side(a) - 1, 0)
    return field + a.push(lip, forward=3.6)


def _soft(a: Anatomy, field: Array, rounds: int = 3) -> Array:
    """Smooth and symmetrize, and release the eyes: lids move by their own modes only."""
    hold = 1 - (1 - a.ramp(a.eye_distance, 2.2, 9.0)) * a.ramp(a.z, a.eye[2] - 25, a.eye[2] - 5)
    field = a.smooth(field, rounds) * hold[:, None]
    return (field + a.mirrored(field)) / 2


def smile(a: Anatomy) -> Array:
    """Corners out, up and back; cheeks lifted against the lower lids."""
    corner, eye = a.mark(54), a.eye
    reach = np.minimum(a.across / corner[0], 1.0) ** 1.5
    lips = a.bump((0, corner[1] + 1, corner[2]), (300, 10, 28)) * np.exp(
        -0.5 * (np.maximum(a.across - corner[0], 0) / 11) ** 2
    )
    field = a.push(lips * reach, lateral=2.1, up=2.4, forward=-1.0)
    field += a.push(lips * (1 - reach), up=0.25, forward=-0.5)
    field += a.push(
        a.bump((eye[0] + 9, eye[1] - 33, eye[2] - 2), (14, 11, 18)), lateral=0.4, up=1.1, forward=1.2
    )
    field += a.push(a.bump((corner[0] + 7, corner[1] + 9, corner[2] - 2), (4, 9, 12)), forward=-0.4)
    return _soft(a, field) + opened(a, upper=-0.08, lower=-0.28)


def frown(a: Anatomy) -> Array:
    """Corners of the mouth down, chin raised against the lower lip."""
    corner, chin = a.mark(54), a.mark(8)
    field = a.push(
        a.bump((corner[0] + 2, corner[1] - 1, corner[2]), (9, 9, 18)), lateral=0.2, up=-2.0, forward=-0.1
    )
    middle = a.bump((0, corner[1], corner[2] + 12), (11, 11, 22))
    field += a.push(middle, up=0.6, forward=0.3)
    field += a.push(a.bump((0, chin[1] + 15, chin[2] + 8), (13, 9, 18)), up=1.0, forward=0.7)
    field += a.push(a.bump((a.eye[0] - 20, a.brow[1] - 3, a.eye[2] + 20), (9, 8, 18)), up=-0.4, lateral=-0.2)
    return _soft(a, field)


def pucker(a: Anatomy) -> Array:
    """Lips drawn together and forward."""
    corner = a.mark(54)
    around = a.bump((0, corner[1], corner[2] + 4), (300, 13, 28)) * np.exp(
        -0.5 * (np.maximum(a.across - corner[0] + 4, 0) / 13) ** 2
    )
    field = a.push(around * np.minimum(a.across / corner[0], 1.15), lateral=-2.5)
    front = a.bump((0, corner[1], corner[2] + 12), (17, 10, 26))
    field += a.push(front, forward=2.1)
    field += a.push(a.bump((0, corner[1] + 6, corner[2] + 10), (14, 5, 22)), up=0.35)
    field += a.push(a.bump((0, corner[1] - 8, corner[2] + 10), (14, 5, 22)), up=-0.35)
    field += a.push(
        a.bump((corner[0] + 14, corner[1] + 2, corner[2] - 18), (11, 14, 18)), lateral=-0.8, forward=-0.3
    )
    return _soft(a, field)


def brows_up(a: Anatomy) -> Array:
    """Brows raised with the forehead's skin; negative: lowered."""
    brow = a.brow
    rise = a.y - brow[1]
    along = np.exp(-0.5 * (rise / np.where(rise > 0, 20, 8.5)) ** 2)
    weight = along * a.ramp(a.across, 66, 44) * a.ramp(a.z, 35, 62)
    field = a.push(weight * (0.8 + 0.2 * a.bump(brow, (18, 40, 40))), up=2.5, forward=-0.2)
    return _soft(a, field) + opened(a, upper=0.12, lower=0.0)


def squint(a: Anatomy) -> Array:
    """Lids narrowed from below and above, cheeks up, outer brows down."""
    eye = a.eye
    field = a.push(a.bump((eye[0] + 6, eye[1] - 21, eye[2]), (16, 9, 18)), up=0.9, forward=0.5)
    field += a.push(a.bump((eye[0] + 12, a.brow[1] - 2, eye[2] + 8), (15, 8, 20)), up=-0.6, forward=0.3)
    return _soft(a, field) + opened(a, upper=-0.65, lower=-0.75)


def sneer(a: Anatomy) -> Array:
    """Wings of the nose and upper lip lifted, inner brows down."""
    wing, base, brow = a.mark(35), a.mark(33), a.brow
    field = a.push(a.bump((wing[0] + 2, wing[1] + 3, wing[2]), (9, 9, 15)), up=1.2, lateral=0.35)
    lip = a.bump((13, a.mouth[1] + 6, a.mouth[2] - 3), (10, 8, 20)) * (1 - lower_side(a))
    field += a.push(lip, up=1.3, forward=0.2)
    field += a.push(a.bump((wing[0] + 10, base[1] + 8, wing[2] - 8), (9, 12, 16)), up=0.9, forward=0.9)
    field += a.push(a.bump((10, brow[1] - 4, a.eye[2] + 24), (10, 8, 18)), up=-1.1, lateral=-0.3, forward=0.4)
    return _soft(a, field, 2) + opened(a, upper=-0.2, lower=-0.25)


def cheeks(a: Anatomy) -> Array:
    """Cheeks blown up; negative: sucked in."""
    mouth = a.mouth
    weight = a.bump((46, mouth[1] + 1, 54), (15, 16, 20)) + 0.25 * a.bump(
        (12, mouth[1] + 10, 95), (14, 6, 20)
    )
    weight = np.minimum(weight + 0.2 * a.bump((12, mouth[1] - 14, 92), (14, 6, 20)), 1)
    weight = weight * (1 - a.regions["mouth_interior"]) * (1 - a.regions["ears"])
    return _soft(a, weight[:, None] * a.outward((0, mouth[1] + 2, 18)) * 2.7, 6)


def expression_modes(a: Anatomy) -> tuple[Array, tuple[str, ...]]:
    """All expression modes, (10, N, 3) millimeters per unit, and their names."""
    blink = shut(a) / FULL
    blink = (blink + a.mirrored(blink)) / 2
    opening = jaw_open(a)
    fixed = a.regions["eyeball_left"] + a.regions["eyeball_right"]
    named = {
        "jaw open": (opening + a.mirrored(opening)) / 2,
        "smile": smile(a),
        "frown": frown(a),
        "pucker": pucker(a),
        "brows up": brows_up(a),
        "blink left": blink * (a.side > 0)[:, None],
        "blink right": blink * (a.side < 0)[:, None],
        "squint": squint(a),
        "sneer": sneer(a),
        "cheeks": cheeks(a),
    }
    return np.stack([field * (1 - fixed)[:, None] for field in named.values()]), tuple(named)
