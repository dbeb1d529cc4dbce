"""Five more expression modes: lips that part without the jaw, and what the two sides of a face do apart.

Made of the head's blend shapes. Without them a smile that shows teeth was half as open as in the photo, and a
crooked mouth had to be a turned head. A positive coefficient moves to the subject's left (+x) or raises what
is there; a negative one is its mirror image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .blendshapes.brushes import Face
from .blendshapes.eyes import brow_down, brow_outer_up
from .blendshapes.jaw import jaw_left
from .blendshapes.mouth import BLEND, mouth_left, mouth_lower_down, mouth_smile, mouth_upper_up

Array = NDArray[np.float64]

# Which coefficient is the whole of a blend shape: an extreme, or close to it.
_LIPS, _SMILE, _MOUTH, _JAW, _BROW = 4.0, 4.0, 4.0, 5.0, 4.0


def more_expression_modes(f: Face) -> tuple[Array, tuple[str, ...]]:
    """(5, N, 3) millimeters per unit, and their names."""
    named = {
        "lips parted": lips_parted(f),
        "smile sideways": _odd(f, mouth_smile(f), BLEND) / _SMILE,
        "mouth sideways": _turned(f, mouth_left(f)) / _MOUTH,
        "jaw sideways": _turned(f, jaw_left(f)) / _JAW,
        "brows sideways": _odd(f, brow_outer_up(f) - brow_down(f), BLEND) / (2 * _BROW),
    }
    balls = f.a.regions["eyeball_left"] + f.a.regions["eyeball_right"]
    return np.stack([field * (1 - balls)[:, None] for field in named.values()]), tuple(named)


def lips_parted(f: Face) -> Array:
    """Both lips drawn away from where they touch; negative: pressed, the lower one behind the upper one."""
    a = f.a
    field = (mouth_upper_up(f) + mouth_lower_down(f)) / _LIPS
    field += a.push(f.lower * f.lips(99, 9, 4) * (1 - f.along**2), forward=1.0)
    return (field + a.mirrored(field)) / 2


def _odd(f: Face, field: Array, width: float) -> Array:
    """A symmetric field on the left, and its opposite on the right."""
    left = f.left(field, width)
    return left - f.a.mirrored(left)


def _turned(f: Face, field: Array) -> Array:
    """What a movement to the left has that is the opposite of the one to the right."""
    return (field - f.a.mirrored(field)) / 2
